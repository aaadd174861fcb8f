"""What the display of a run says, worked out by hand."""

import json

import pytest

from seedbed.plan.forecasts.time_left import TimeLeft
from seedbed.plan.jobs import PlannedJob
from seedbed.plan.run_state import Number, RunPlan, RunState

HEADER = "s\th:m:s\tmax_rss\n"


def job(number, rule, waits_for=(), needed=True, benchmark="none.tsv", minutes=10):
    return PlannedJob(number, rule, f"out{number}", needed, None, tuple(waits_for), 1, 0, minutes, benchmark)


def plan(tmp_path, cores=1):
    """Two shards, their score, and a target; one more job is done already."""
    jobs = [job(0, "make", needed=False), job(1, "explain", [0]), job(2, "explain", [0]), job(3, "score", [1, 2])]
    target = PlannedJob(4, "headlines", "headlines", True, None, (3,), 1, 0, 0, None)
    (tmp_path / "out3").write_text(json.dumps({"miou": 0.6125}))
    stages = {"make": "data", "score": "masks", "explain": "heatmaps", "headlines": "Snakefile"}
    numbers = {str(tmp_path / "out3"): Number("table4, ViT, mIoU", "miou", percent=True)}
    return RunPlan([*jobs, target], stages, numbers, cores, 0)


def test_a_run_from_its_first_job_to_its_last(tmp_path):
    state = RunState(plan(tmp_path), now=100.0)
    assert state.total == 3
    assert state.summary(100.0) == "0 of 3 jobs done, 0 s so far; time left: known once the first have ended"
    state.start(7, ["out1", "log"], "Explaining", now=100.0)
    assert state.lines(99, 100.0) == [
        f"{'░' * 24}  0 of 3 jobs done, 0 s so far; time left: known once the first have ended",
        "masks\u00a00/1  heatmaps\u00a00/2",
        "now     Explaining",
        "latest  no number of a table yet",
    ]
    assert state.finish(7, now=130.0) == "Explaining"
    # One more shard takes as long; scoring is taken to use the same share, 30 s of 10 minutes, of its own 10 minutes.
    assert state.summary(130.0) == "1 of 3 jobs done, about 60 s left"
    assert state.summary(134.0) == "1 of 3 jobs done, about 56 s left", "runs down between two looks"
    state.start(8, ["out2"], "Explaining more", now=130.0)
    state.fail(8)
    assert state.summary(134.0) == "1 of 3 jobs done, 1 failed, about 56 s left"
    state.start(8, ["out2"], "Explaining more", now=140.0)
    assert "failed" not in state.summary(140.0), "another attempt runs"
    state.finish(8, now=170.0)
    state.start(9, [str(tmp_path / "out3"), "out3"], "Scoring", now=170.0)
    assert state.finish(9, now=180.0) == "Scoring: table4, ViT, mIoU 61.3 %"
    assert state.lines(60, 180.0) == [
        f"{'█' * 24}  3 of 3 jobs done, about 0 s left",
        "masks\u00a01/1  heatmaps\u00a02/2",
        "now     -",
        "latest  table4, ViT, mIoU 61.3 %",
    ]
    assert state.result(180.0) == "3 of 3 jobs done, in 80 s"


def test_lines_fit_the_terminal_and_their_number_does_not_change(tmp_path):
    state = RunState(plan(tmp_path), now=0.0)
    state.start(7, ["out1"], "Explaining " * 20, now=0.0)
    before = state.lines(20, 0.0)
    assert len(before) == 5 and max(map(len, before)) == 20 and before[3].endswith("…")
    state.finish(7, now=1.0)
    assert len(state.lines(20, 1.0)) == 5


def test_targets_and_unknown_jobs_are_not_counted(tmp_path):
    state = RunState(plan(tmp_path), now=0.0)
    state.start(1, [], "headlines", now=0.0)
    assert state.finish(1, now=1.0) is None and state.finish(99, now=1.0) is None and state.done == 0


def test_a_cluster_has_no_forecast(tmp_path):
    state = RunState(plan(tmp_path, cores=None), now=0.0)
    state.start(7, ["out1"], "Explaining", now=0.0)
    state.finish(7, now=90.0)
    assert state.summary(90.0) == "1 of 3 jobs done, 2 min so far"


@pytest.mark.parametrize("content", [None, "[", "[]", '{"fp": 1}', '{"miou": null}', '{"miou": "high"}'])
def test_a_file_without_the_number_shows_none(tmp_path, content):
    path = tmp_path / "metrics.json"
    if content is not None:
        path.write_text(content)
    assert Number("label", "miou", percent=True).read(path) is None


def test_numbers_that_are_no_percentages(tmp_path):
    (tmp_path / "metrics.json").write_text('{"area": 0.123456}')
    assert Number("ABPC", "area", percent=False).read(tmp_path / "metrics.json") == "ABPC 0.1235"


def test_records_of_earlier_runs_are_a_forecast_from_the_start(tmp_path):
    (tmp_path / "a.tsv").write_text(f"{HEADER}20.0\t0:00:20\t1\n")
    record = str(tmp_path / "a.tsv")
    jobs = [job(0, "explain", benchmark=record, needed=False), job(1, "explain"), job(2, "explain")]
    forecast = TimeLeft(jobs, cores=1, gpus=0)
    assert forecast.left(ended=[], running={}) == 40
    assert forecast.left(ended=[1], running={2: 15.0}) == 5
    assert forecast.left(ended=[1], running={2: 50.0}) == 10, "overdue: a fifth of what it has taken"
    assert TimeLeft(jobs, cores=2, gpus=0).left(ended=[], running={}) == 20
    forecast.learn(jobs[1], 40.0)
    assert forecast.left(ended=[1], running={}) == 30, "the mean of both records"


def test_nothing_recorded_is_no_forecast():
    assert TimeLeft([job(0, "explain")], cores=1, gpus=0).left([], {}) is None
    assert TimeLeft([], cores=1, gpus=0).left([], {}) == 0
