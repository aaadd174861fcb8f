"""MLflow: a table is a parent run, each of its reproduced rows a child run. Tracking never changes or stops a result.

What is to be logged is written to disk first. If the tracking server cannot be reached, the record stays ``pending``,
and a copy of it and of its artifacts waits to be sent by the next ``sync``: the record is a rule's output, which
Snakemake deletes when the table is made anew. A run carries the key of what it logs, so sending twice makes one run.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from seedbed.errors import UserError
from seedbed.io.atomic import atomic_directory, read_json, write_json
from seedbed.io.filelock import held

log = logging.getLogger(__name__)
KEY = "seedbed.key"
WAITING = "waiting"
"""Folder beside the records: one folder a record that could not be sent, named by its key."""
_CHUNK = 100  # MLflow's limit on parameters in one request
_DIGEST = 32  # ... on a data set's digest
_LONGEST = 6000  # ... and on the length of one


def default_uri(results: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` if it is set, else a SQLite file in the results folder; relative files from here."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        return f"sqlite:///{Path(results).resolve() / 'mlflow.db'}"
    database = _database(given)
    return given if database is None else f"sqlite:///{database.resolve()}{given[len(f'sqlite:///{database}') :]}"


def track(record: Path, payload: Mapping[str, Any], uri: str) -> bool:
    """Write ``payload`` to ``record``, try to send it, and note the run ids; returns whether it was sent.

    Args:
        record: JSON file, the rule's output.
        payload: ``experiment``, ``name``, ``parameters``, ``metrics``, ``tags``, ``artifacts`` (paths) of the parent
            run, and ``children`` with the same keys, ``histories`` (metric name -> list of [step, value]) and
            ``datasets`` that they were measured on (``name``, ``sha256``, ``source``, ``split``).
        uri: tracking store.
    """
    write_json(record, {"status": "pending", "payload": {**payload, "key": _key(payload)}})
    return _send_record(record, read_json(record)["payload"], uri)


def sync(folder: Path, uri: str) -> tuple[int, int]:
    """Send what waits in the folders ``tracking`` below ``folder``; returns how many records were sent, and left."""
    with contextlib.suppress(OSError, sqlite3.Error), one_at_a_time(uri):
        pass  # opens the store, so that a moved one finds its artifacts though nothing waits
    sent = left = 0
    for entry, waiting in _laid_aside(folder):
        runs = _try(waiting["payload"], uri, entry)
        sent, left = sent + (runs is not None), left + (runs is None)
        if runs is not None:
            record = entry.parents[2] / waiting["record"]
            if payload := _pending(record, waiting["payload"]["key"]):
                _note(record, payload, uri, runs)
            shutil.rmtree(entry.parent)
    for record, payload in _never_tried(folder):
        done = _send_record(record, payload, uri)
        sent, left = sent + done, left + (not done)
    return sent, left


def say_what_waits(folder: Path) -> None:
    """Print, after a run, what its MLflow did not take: the log of a rule alone would know it."""
    try:
        line = waiting_line(folder, default_uri(folder))
    except UserError as error:  # a record that cannot be read: the run has ended all the same
        line = str(error)
    if line:
        print(f"\n{line}\n", file=sys.stderr, flush=True)


def waiting_line(folder: Path, uri: str) -> str | None:
    """What waits to be sent below ``folder``, and how it is sent, as one line; None if nothing waits."""
    names = [waiting["payload"]["name"] for _, waiting in _laid_aside(folder)]
    names += [payload["name"] for _, payload in _never_tried(folder)]
    if not names:
        return None
    told = ", ".join(sorted(set(names))[:3]) + (", ..." if len(set(names)) > 3 else "")
    return (
        f"{len(names)} record(s) wait to be sent to MLflow at {uri} ({told}; why: the logs of track_table). "
        f"To send them: make ui, or python -m seedbed.tracking {folder}"
    )


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names; lists stay whole as JSON."""
    if isinstance(value, Mapping):
        items = (flatten(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items())
        return {key: text for part in items for key, text in part.items()}
    return {prefix: (value if isinstance(value, str) else json.dumps(value))[:_LONGEST]}


def _laid_aside(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Copies that wait below a folder: file, and content."""
    for entry in sorted(folder.rglob(f"tracking/**/{WAITING}/*/record.json")):
        yield entry, read_json(entry)


def _never_tried(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Records below a folder that were not sent and have no such copy, with their payloads."""
    for record in sorted(folder.rglob("tracking/**/*.json")):
        payload = None if WAITING in record.parts else _pending(record)
        if payload and not _waiting(record, payload).exists():
            yield record, payload


def _send_record(record: Path, payload: Mapping[str, Any], uri: str) -> bool:
    runs = _try(payload, uri, record)
    if runs is None:
        try:
            _let_wait(record, payload)
        except (OSError, UserError) as error:
            log.warning("%s cannot be copied and waits alone (%s)", record, error)
        return False
    _note(record, payload, uri, runs)
    shutil.rmtree(_waiting(record, payload), ignore_errors=True)
    return True


def _try(payload: Mapping[str, Any], uri: str, record: Path) -> dict[str, str] | None:
    try:
        return _send(payload, uri)
    except Exception as error:
        # Whatever goes wrong over there, the result stands: the record waits on disk.
        log.warning("MLflow at %s cannot be reached (%s: %s); %s waits", uri, type(error).__name__, error, record)
        return None


def _note(record: Path, payload: Mapping[str, Any], uri: str, runs: Mapping[str, str]) -> None:
    write_json(record, {"status": "sent", "uri": uri, "runs": dict(runs), "payload": dict(payload)})


def _pending(record: Path, key: str | None = None) -> Mapping[str, Any] | None:
    """The payload of a record that was not sent, and has that key if one is given; None otherwise."""
    content = read_json(record) if record.exists() else None
    if not isinstance(content, dict) or content.get("status") != "pending" or "payload" not in content:
        return None
    return content["payload"] if key in (None, content["payload"]["key"]) else None


def _waiting(record: Path, payload: Mapping[str, Any]) -> Path:
    return record.parent / WAITING / payload["key"]


def _let_wait(record: Path, payload: Mapping[str, Any]) -> None:
    """Copy a record and its artifacts to where no rule deletes or replaces them."""
    with atomic_directory(_waiting(record, payload)) as folder:
        final = _waiting(record, payload)
        copies = itertools.count()

        def with_copies(run: Mapping[str, Any]) -> dict[str, Any]:
            artifacts = [f"{next(copies)}/{Path(path).name}" for path in run.get("artifacts", ())]
            for path, name in zip(run.get("artifacts", ()), artifacts, strict=True):
                (folder / name).parent.mkdir()
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(path, folder / name)
            return {**run, "artifacts": [str(final / name) for name in artifacts]}

        children = [with_copies(child) for child in payload["children"]]
        waiting = {**with_copies(payload), "children": children}
        write_json(folder / "record.json", {"record": record.name, "payload": waiting})


def _send(payload: Mapping[str, Any], uri: str) -> dict[str, str]:
    if uri.startswith("sqlite:") and _database(uri) is None:
        raise UserError(f"MLFLOW_TRACKING_URI={uri} keeps nothing; name a file, sqlite:///mlflow.db.")
    if _folder(uri) is not None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # whoever names a folder wants one
    # A server that is down should cost seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with one_at_a_time(uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        where = experiment(client, payload["experiment"], uri)
        parent = _log_run(client, where, payload, payload["key"], parent=None)
        runs = {payload["name"]: parent}
        for child in payload["children"]:
            key = f"{payload['key']}/{child['name']}"
            runs[child["name"]] = _log_run(client, where, child, key, parent)
        return runs


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Open a store of files to one writer at a time; two that create it at once would leave it broken."""
    database = _database(uri)
    path = database or _folder(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path.with_suffix(".lock")):
        if database is not None and database.exists():
            _follow(database)
        yield


def _database(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other, and for one in memory."""
    name = uri.removeprefix("sqlite:///").partition("?")[0] if uri.startswith("sqlite:///") else ""
    return Path(name) if name and not name.startswith(":") else None


def _folder(uri: str) -> Path | None:
    """The folder of a store of plain files, as MLflow had them before 3.7; None for any other."""
    if uri.startswith("file:"):
        return _path(uri)
    return Path(uri) if uri and "://" not in uri and not uri.startswith(("databricks", "uc", "sqlite:")) else None


def _artifacts_of(database: Path) -> str:
    """Address of the folder of artifacts beside a SQLite store."""
    return (database.resolve().parent / "mlartifacts").as_uri()


def _follow(database: Path) -> None:
    """Lead a store that was moved or copied to the artifacts beside it; MLflow keeps absolute addresses."""
    here = _artifacts_of(database)
    with contextlib.closing(sqlite3.connect(database)) as store, store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'runs'").fetchone():
            return
        moved = "artifact_location LIKE 'file://%/mlartifacts' AND artifact_location <> ?"
        for (old,) in store.execute(
            f"SELECT DISTINCT artifact_location FROM experiments WHERE {moved}", [here]
        ).fetchall():
            store.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", [here, old])
            for run, uri in store.execute("SELECT run_uuid, artifact_uri FROM runs").fetchall():
                new = f"{here}{(uri or '').removeprefix(old)}"
                if (uri or "").startswith(f"{old}/") and _path(new).exists():
                    store.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", [new, run])
            for table, column in (("logged_models", "artifact_location"), ("model_versions", "storage_location")):
                store.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} LIKE ? || '/%'",
                    [here, len(old) + 1, old],
                )


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def experiment(client: Any, name: str, uri: str) -> str:
    """Id of an experiment, which is made where it is missing; artifacts of a SQLite store lie beside it."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    location = None
    if database := _database(uri):
        location = _artifacts_of(database)
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
    if run.get("datasets"):
        client.log_inputs(run_id, [_dataset(entry) for entry in run["datasets"]])
    for path in run.get("artifacts", ()):
        if Path(path).exists():
            client.log_artifact(run_id, path)
        else:
            log.warning("%s is gone, and is not logged with %s", path, run["name"])
    client.set_terminated(run_id)
    return run_id


def _dataset(entry: Mapping[str, str]) -> Any:
    """A data set as MLflow lists the inputs of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = entry["sha256"][:_DIGEST]
    found = Dataset(entry["name"], digest, source_type="local", source=json.dumps({"uri": entry["source"]}))
    return DatasetInput(found, tags=[InputTag("mlflow.data.context", entry["split"])])


def _key(payload: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:32]
