"""Tracking: nothing is lost, nothing is sent twice, and a server that is down stops nobody."""

import json
import math
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from seedbed.io.atomic import read_json, write_json
from seedbed.tracking import KEY, default_uri, flatten, sync, track, waiting_line
from seedbed.tracking import runs as sending

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
DOWN = "http://127.0.0.1:9"
WRITERS = 4


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with a database that several processes made and filled at once."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("results")
    # Not forked from here: this process has threads, whose locks a fork would hold for ever.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow"])
    processes = [context.Process(target=_track_one, args=(folder, number)) for number in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * WRITERS
    return folder


def _track_one(folder, number):
    record = folder / "demo" / "tracking" / "crowd" / f"table{number}.json"
    if not track(record, payload("crowd", f"table{number}"), uri(folder)):
        os._exit(3)


def uri(folder):
    return f"sqlite:///{folder / 'mlflow.db'}"


def client(folder):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri(folder))


def payload(experiment, name="table1", artifacts=(), **changes):
    run = {"parameters": {"lr": "0.1"}, "tags": {"seedbed.table": name}, "artifacts": [str(path) for path in artifacts]}
    children = [
        {"name": row, "metrics": {"miou": 0.5}, "histories": {"vit.loss": [[10, 2.5], [20, 1.25]]}, **run}
        for row in ("ours", "theirs")
    ]
    return {
        "experiment": experiment,
        "name": name,
        "metrics": {"ours.miou": 50.0},
        "children": children,
        **run,
        **changes,
    }


def runs(folder, experiment):
    found = client(folder).get_experiment_by_name(experiment)
    return client(folder).search_runs([found.experiment_id]) if found else []


def by_name(found):
    return {run.info.run_name: run for run in found}


def test_processes_at_once_lose_nothing(results):
    found = runs(results, "crowd")
    assert len(found) == WRITERS * 3
    assert {run.info.status for run in found} == {"FINISHED"}
    names = [run.info.run_name for run in found]
    assert {f"table{number}" for number in range(WRITERS)} <= set(names)
    assert names.count("ours") == names.count("theirs") == WRITERS
    for number in range(WRITERS):
        record = read_json(results / "demo" / "tracking" / "crowd" / f"table{number}.json")
        assert record["status"] == "sent"
        assert set(record["runs"]) == {f"table{number}", "ours", "theirs"}


def test_a_table_is_a_parent_and_its_rows_are_children(results, tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n")
    content = payload(
        "family", artifacts=[tmp_path / "table.csv"], metrics={"ours.miou": 50.0, "a": None, "b": math.nan}
    )
    assert track(tmp_path / "tracking" / "t.json", content, uri(results))
    found = by_name(runs(results, "family"))
    parent, child = found["table1"], found["ours"]
    assert parent.data.metrics == {"ours.miou": 50.0}
    assert parent.data.params == {"lr": "0.1"}
    assert parent.data.tags["seedbed.table"] == "table1"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics == {"miou": 0.5, "vit.loss": 1.25}
    history = client(results).get_metric_history(child.info.run_id, "vit.loss")
    assert [(point.step, point.value) for point in history] == [(10, 2.5), (20, 1.25)]
    assert [entry.path for entry in client(results).list_artifacts(parent.info.run_id)] == ["table.csv"]
    assert (results / "mlartifacts").is_dir()
    assert read_json(tmp_path / "tracking" / "t.json")["runs"]["table1"] == parent.info.run_id


def test_a_run_names_the_data_that_it_was_measured_on(results, tmp_path):
    shapes = {"name": "shapes", "sha256": "ab" * 32, "source": "data/shapes", "split": "val"}
    assert track(tmp_path / "t.json", payload("data", datasets=[shapes]), uri(results))
    found = by_name(runs(results, "data"))
    (given,) = found["table1"].inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("shapes", "ab" * 16)
    assert json.loads(given.dataset.source) == {"uri": "data/shapes"}
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "val")]
    assert found["ours"].inputs.dataset_inputs == []


def test_sending_twice_makes_one_run(results, tmp_path):
    for name in ("a.json", "b.json"):
        assert track(tmp_path / name, payload("twice"), uri(results))
    assert len(runs(results, "twice")) == 3
    assert read_json(tmp_path / "a.json")["runs"] == read_json(tmp_path / "b.json")["runs"]
    assert track(tmp_path / "a.json", payload("twice", metrics={"ours.miou": 51.0}), uri(results))
    assert len(runs(results, "twice")) == 6


@pytest.mark.parametrize("left", [1, 2, 4])
def test_a_half_sent_table_is_completed(results, tmp_path, monkeypatch, left):
    """The sender dies after some of its runs were opened; the next one keeps what is whole and replaces what is not."""
    experiment = f"half sent {left}"
    with monkeypatch.context() as patched:
        from mlflow import MlflowClient

        calls = iter(range(left))
        finish = MlflowClient.set_terminated

        def set_terminated(self, *arguments):
            if next(calls, None) is None:
                raise ConnectionError("died")
            return finish(self, *arguments)

        patched.setattr(MlflowClient, "set_terminated", set_terminated)
        sent = track(tmp_path / "t.json", payload(experiment), uri(results))
    assert sent is (left >= 3)
    before = by_name(runs(results, experiment))
    assert len(before) == min(left + 1, 3)
    assert track(tmp_path / "t.json", payload(experiment), uri(results))
    after = by_name(runs(results, experiment))
    assert set(after) == {"table1", "ours", "theirs"}
    assert len(runs(results, experiment)) == 3
    for name, run in before.items():
        kept = after[name].info.run_id == run.info.run_id
        assert kept is (run.info.status == "FINISHED")
    assert after["theirs"].data.tags["mlflow.parentRunId"] == after["table1"].info.run_id


def test_a_server_that_is_down_costs_seconds_and_the_record_waits(results, tmp_path, caplog, monkeypatch):
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    record = tmp_path / "demo" / "tracking" / "one" / "table1.json"
    content = payload("late", metrics={"ours.miou": math.nan})
    content["children"][0]["histories"]["vit.part"] = [[10, math.nan], [20, 3.0]]
    started = time.monotonic()
    assert track(record, content, DOWN) is False
    assert time.monotonic() - started < 120  # MLflow by itself tries for many minutes
    assert f"MLflow at {DOWN} cannot be reached" in caplog.text
    assert read_json(record)["status"] == "pending"

    write_json(tmp_path / "demo" / "metrics.json", {"miou": 0.5})
    write_json(tmp_path / "demo" / "tracking" / "list.json", [1, 2])
    assert sync(tmp_path, DOWN) == (0, 1)
    assert sync(tmp_path, uri(results)) == (1, 0)
    assert sync(tmp_path, uri(results)) == (0, 0)
    found = by_name(runs(results, "late"))
    assert len(runs(results, "late")) == 3
    assert found["ours"].data.metrics == {"miou": 0.5, "vit.loss": 1.25, "vit.part": 3.0}
    assert read_json(record)["status"] == "sent"
    assert track(record, content, uri(results))
    assert len(runs(results, "late")) == 3


def test_what_waits_survives_the_table_that_is_made_anew(results, tmp_path):
    """The record is a rule's output: Snakemake deletes it, and the files that it names are replaced."""
    record, page = tmp_path / "tracking" / "one" / "table1.json", tmp_path / "page.html"
    page.write_text("old")
    content = payload("waits", artifacts=[page], metrics={"ours.miou": 1.0})
    assert track(record, content, DOWN) is False
    record.unlink()
    page.write_text("new")
    assert track(record, payload("waits", artifacts=[page], metrics={"ours.miou": 2.0}), DOWN) is False
    assert sync(tmp_path, DOWN) == (0, 2)
    assert sync(tmp_path, uri(results)) == (2, 0)
    tables = [run for run in runs(results, "waits") if run.info.run_name == "table1"]
    logged = {
        run.data.metrics["ours.miou"]: Path(
            client(results).download_artifacts(run.info.run_id, "page.html")
        ).read_text()
        for run in tables
    }
    assert logged == {1.0: "old", 2.0: "new"}
    assert read_json(record)["status"] == "sent"
    assert not list((tmp_path / "tracking/one/waiting").iterdir())


def test_a_record_that_waits_is_sent_by_the_job_that_runs_again(results, tmp_path):
    record = tmp_path / "tracking" / "one" / "table1.json"
    assert track(record, payload("again"), DOWN) is False
    assert track(record, payload("again"), uri(results))
    assert sync(tmp_path, uri(results)) == (0, 0) and len(runs(results, "again")) == 3


def test_a_store_that_was_moved_writes_artifacts_beside_itself(tmp_path):
    pytest.importorskip("mlflow")
    old, new = tmp_path / "old place" / "results", tmp_path / "new" / "results"
    file = tmp_path / "table.csv"
    file.write_text("before")
    assert track(old / "tracking/a.json", payload("moved", artifacts=[file]), uri(old))
    new.parent.mkdir()
    old.rename(new)
    file.write_text("after")
    assert track(new / "tracking/b.json", payload("moved", "table2", artifacts=[file]), uri(new))
    assert not old.exists()
    found = by_name(run for run in runs(new, "moved") if run.info.run_name.startswith("table"))
    for name, text in (("table1", "before"), ("table2", "after")):
        assert found[name].info.artifact_uri.startswith((new / "mlartifacts").as_uri())
        assert Path(client(new).download_artifacts(found[name].info.run_id, "table.csv")).read_text() == text
    again = tmp_path / "again"
    new.rename(again)
    assert sync(again, uri(again)) == (0, 0)  # what `make ui` does first: nothing waits, and the runs are led along
    (run,) = (run for run in runs(again, "moved") if run.info.run_name == "table1")
    assert run.info.artifact_uri.startswith((again / "mlartifacts").as_uri())


@pytest.mark.parametrize("bad", ["sqlite:////proc/nowhere/mlflow.db", "nonsense://x"])
def test_no_store_of_any_kind_stops_the_work(tmp_path, bad):
    pytest.importorskip("mlflow")
    assert track(tmp_path / "t.json", payload("x"), bad) is False
    assert read_json(tmp_path / "t.json")["status"] == "pending"


def test_the_record_is_written_before_anything_is_sent(tmp_path, monkeypatch):
    def send(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sending, "_send", send)
    with pytest.raises(KeyboardInterrupt):
        track(tmp_path / "t.json", payload("x"), DOWN)
    assert read_json(tmp_path / "t.json")["status"] == "pending"


def test_many_and_long_parameters(results, tmp_path):
    parameters = {f"p{number}": "x" for number in range(250)} | flatten({"long": "y" * 9000})
    content = payload("long", parameters=parameters, children=[])
    assert track(tmp_path / "t.json", content, uri(results))
    (run,) = runs(results, "long")
    assert len(run.data.params) == 251
    assert len(run.data.params["long"]) == 6000


def test_flattening():
    nested = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": "text", "g": True, 3: 0.5}
    assert flatten(nested) == {"a.b": "1", "a.c.d": "[1, 2]", "e": "null", "f": "text", "g": "true", "3": "0.5"}
    assert flatten({}) == {}


def test_where_runs_go(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_uri("results") == f"sqlite:///{tmp_path}/results/mlflow.db"
    for given, read in (
        (DOWN, DOWN),
        ("sqlite:///mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"),
        ("sqlite:///sub/my.db?timeout=9", f"sqlite:///{tmp_path}/sub/my.db?timeout=9"),
        ("sqlite:////abs/my.db", "sqlite:////abs/my.db"),
        ("sqlite://", "sqlite://"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert default_uri("results") == read


def test_what_waits_is_said_in_one_line(tmp_path):
    assert waiting_line(tmp_path, DOWN) is None
    for number in range(5):
        assert not track(tmp_path / f"demo/tracking/one/table{number}.json", payload("x", f"table{number}"), DOWN)
    line = waiting_line(tmp_path, DOWN)
    assert f"5 record(s) wait to be sent to MLflow at {DOWN}" in line and "table0, table1, table2, ..." in line
    assert "make ui" in line and f"python -m seedbed.tracking {tmp_path}" in line and "\n" not in line


@pytest.mark.parametrize("form", ["mlruns", "./mlruns", "file:mlruns", "file://{here}/mlruns"])
def test_a_store_of_files_is_written(tmp_path, monkeypatch, form):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    assert track(tmp_path / "tracking/t.json", payload("x", children=[]), form.format(here=tmp_path))
    assert list((tmp_path / "mlruns").rglob("tags/seedbed.key"))
    assert waiting_line(tmp_path, form) is None
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_is_none(tmp_path, uri):
    assert not track(tmp_path / "tracking/t.json", payload("x", children=[]), uri)
    assert waiting_line(tmp_path, uri)


def test_the_key_knows_all_that_is_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "_send", lambda *_: {})
    keys = set()
    changes = ({}, {"name": "other"}, {"metrics": {}}, {"children": []}, {"tags": {"a": "b"}}, {"experiment": "y"})
    for number, change in enumerate(changes):
        track(tmp_path / f"{number}.json", payload("x") | change, DOWN)
        keys.add(read_json(tmp_path / f"{number}.json")["payload"]["key"])
    assert len(keys) == len(changes)
    track(tmp_path / "again.json", json.loads(json.dumps(payload("x"))), DOWN)
    assert read_json(tmp_path / "again.json")["payload"]["key"] in keys
    assert KEY == "seedbed.key"


def test_a_lock_that_is_held_is_waited_for(tmp_path):
    order = []

    def hold(name, seconds):
        with sending.one_at_a_time(f"sqlite:///{tmp_path / 'x' / 'mlflow.db'}"):
            order.append(f"{name} in")
            time.sleep(seconds)
            order.append(f"{name} out")

    threads = [threading.Thread(target=hold, args=(name, 0.1)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.split()[1] for entry in order] == ["in", "out", "in", "out"]
    assert Path(tmp_path / "x" / "mlflow.lock").exists()
