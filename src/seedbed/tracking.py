"""MLflow: a table is a parent run, each of its reproduced rows a child run. Tracking never changes or stops a result.

What is to be logged is written to disk first. If the tracking server cannot be reached, the record stays ``pending``
and is sent by the next ``sync``. A run carries the key of what it logs, so sending twice makes one run.
"""

import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seedbed.io.atomic import read_json, write_json
from seedbed.io.filelock import held

log = logging.getLogger(__name__)
KEY = "seedbed.key"
_CHUNK = 100  # MLflow's limit on parameters in one request
_LONGEST = 6000  # ... and on the length of one


def default_uri(results: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` if it is set, else a SQLite file in the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(results).resolve() / 'mlflow.db'}"


def track(record: Path, payload: Mapping[str, Any], uri: str) -> bool:
    """Write ``payload`` to ``record``, try to send it, and note the run ids; returns whether it was sent.

    Args:
        record: JSON file, the rule's output.
        payload: ``experiment``, ``name``, ``parameters``, ``metrics``, ``tags``, ``artifacts`` (paths) of the parent
            run, and ``children`` with the same keys and ``histories`` (metric name -> list of [step, value]).
        uri: tracking store.
    """
    write_json(record, {"status": "pending", "payload": {**payload, "key": _key(payload)}})
    return _send_record(record, read_json(record)["payload"], uri)


def sync(folder: Path, uri: str) -> tuple[int, int]:
    """Send every pending record of the folders ``tracking`` below ``folder``; returns how many were sent, and left."""
    sent = left = 0
    for record in sorted(folder.rglob("tracking/**/*.json")):
        content = read_json(record)
        if isinstance(content, dict) and content.get("status") == "pending" and "payload" in content:
            done = _send_record(record, content["payload"], uri)
            sent, left = sent + done, left + (not done)
    return sent, left


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names; lists stay whole as JSON."""
    if isinstance(value, Mapping):
        items = (flatten(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items())
        return {key: text for part in items for key, text in part.items()}
    return {prefix: (value if isinstance(value, str) else json.dumps(value))[:_LONGEST]}


def _send_record(record: Path, payload: Mapping[str, Any], uri: str) -> bool:
    try:
        runs = _send(payload, uri)
    except Exception as error:
        # Whatever goes wrong over there, the result stands: the record waits on disk.
        log.warning("MLflow at %s cannot be reached (%s: %s); %s waits", uri, type(error).__name__, error, record)
        return False
    write_json(record, {"status": "sent", "uri": uri, "runs": runs, "payload": dict(payload)})
    return True


def _send(payload: Mapping[str, Any], uri: str) -> dict[str, str]:
    # A server that is down should cost seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with _one_at_a_time(uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, payload["experiment"], uri)
        parent = _log_run(client, experiment, payload, payload["key"], parent=None)
        runs = {payload["name"]: parent}
        for child in payload["children"]:
            key = f"{payload['key']}/{child['name']}"
            runs[child["name"]] = _log_run(client, experiment, child, key, parent)
        return runs


@contextlib.contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Serialise writers of a SQLite store; two that create it at once would leave it broken."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path.with_suffix(".lock")):
        yield


def _experiment(client: Any, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    location = None
    if uri.startswith("sqlite:///"):
        location = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri()
    return client.create_experiment(name, artifact_location=location)


def _log_run(client: Any, experiment: str, run: Mapping[str, Any], key: str, parent: str | None) -> str:
    from mlflow.entities import Metric, Param, RunTag

    for old in client.search_runs([experiment], f"tags.`{KEY}` = '{key}'"):
        if old.info.status == "FINISHED":
            return old.info.run_id
        client.delete_run(old.info.run_id)  # half sent by a process that was killed
    tags = {**run.get("tags", {}), KEY: key, "mlflow.runName": run["name"]}
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    run_id = client.create_run(experiment, run_name=run["name"]).info.run_id
    now = int(time.time() * 1000)
    client.log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])
    parameters = [Param(name, value) for name, value in run["parameters"].items()]
    for start in range(0, len(parameters), _CHUNK):
        client.log_batch(run_id, params=parameters[start : start + _CHUNK])
    metrics = [Metric(name, value, now, 0) for name, value in run["metrics"].items() if value is not None]
    for name, line in run.get("histories", {}).items():
        metrics += [Metric(name, value, now, int(step)) for step, value in line if value is not None]
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    for path in run.get("artifacts", ()):
        client.log_artifact(run_id, path)
    client.set_terminated(run_id)
    return run_id


def _key(payload: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:32]


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    done, waiting = sync(folder, default_uri(folder))
    print(f"Sent {done} waiting record(s) to MLflow; {waiting} still wait.")
