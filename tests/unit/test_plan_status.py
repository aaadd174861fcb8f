"""The state of a run, from plans made by hand."""

from seedbed.plan.jobs import PlannedJob
from seedbed.plan.status import lines_of_status

RECORD = "s\th:m:s\n100\t0:01:40\n"


def plan(tmp_path):
    """A training that is done, two shards one of them started at 1000 s, a merge without a record, a target."""
    (tmp_path / "train.tsv").write_text(RECORD)
    (tmp_path / "old.tsv").write_text(RECORD.replace("100", "60"))

    def job(number, rule, needed, waits_for=(), started=None, record="none.tsv"):
        benchmark = record and str(tmp_path / record)
        return PlannedJob(number, rule, f"out{number}", needed, started, waits_for, 1, 0, 10, benchmark)

    return [
        job(0, "train", False, record="train.tsv"),
        job(1, "explain", True, (0,), started=1000.0),
        job(2, "explain", True, (0,), record="old.tsv"),
        job(3, "merge", True, (1, 2)),
        job(4, "target", True, (3,), record=None),
    ]


def table(lines):
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_while_a_run_is_at_work(tmp_path):
    lines = lines_of_status(plan(tmp_path), cores=2, gpus=0, at_work=True, now=1045.0)
    rows = table(lines)
    assert rows["train"] == ["1"]
    assert rows["explain"] == ["0", "1", "1", "75", "s"]  # 15 of 60 s left of the one that runs, and 60 s
    assert rows["merge"] == ["0", "1", "~10", "min"]  # declared, no record
    assert "target" not in rows
    assert "running for 45 s: explain out1" in lines
    assert "About 11 min left on 2 cores." in lines  # 60 s, then the merge
    assert lines[-1].endswith("declared limit counts: merge")


def test_after_a_run_was_killed(tmp_path):
    lines = lines_of_status(plan(tmp_path), cores=1, gpus=4, at_work=False, now=1045.0)
    assert table(lines)["explain"] == ["0", "2", "2", "min"]
    assert "interrupted: explain out1" in lines
    assert "About 12 min left on 1 cores and 4 GPUs." in lines


def test_when_all_is_done(tmp_path):
    lines = lines_of_status(plan(tmp_path)[:1], cores=1, gpus=0, at_work=False)
    assert lines[-1] == "Everything is done." and table(lines)["all"] == ["1"]
