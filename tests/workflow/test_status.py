"""`snakemake status` on a finished, a broken and a running chain; it starts no work."""

import subprocess
import time

import pytest
from snakemake_runs import PATIENCE, TABLE, artifacts, command, environment, run

pytestmark = pytest.mark.workflow


def rows(printed):
    """The table's lines: stage -> its numbers."""
    lines = printed[printed.index("stage  ") :].splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines if line.strip()}


def test_what_is_left_and_nothing_is_started(copy_of_finished):
    (copy_of_finished / f"{TABLE}.csv").unlink()
    before = artifacts(copy_of_finished)
    shown = run(copy_of_finished, "--config", "of=vit_affinity_table4", "--", "status")
    assert shown.returncode == 0, shown.stdout[-3000:]
    found = rows(shown.stdout)
    assert found["train_classifier"] == ["2"] and found["make_table"][:2] == ["0", "1"]
    assert "left on 2 cores." in shown.stdout
    assert artifacts(copy_of_finished) == before


def test_nothing_is_left(copy_of_finished):
    made = "results/demo/heatmaps/shapes/val/vit_hybrid/vit_affinity_cues/seed0/1-of-2.h5"
    shown = run(copy_of_finished, "--config", f"of={made}", "--", "status")
    assert shown.returncode == 0 and "Everything is done." in shown.stdout, shown.stdout[-3000:]


def test_a_target_that_is_none(tmp_path):
    shown = run(tmp_path, "--config", "of=exvit_tabel1", "--", "status")
    assert shown.returncode != 0 and "exvit_tabel1" in shown.stdout and "Traceback" not in shown.stdout


@pytest.mark.slow
def test_a_running_job_is_told_from_an_interrupted_one(copy_of_finished):
    longer = "models__vit_hybrid__train__epochs=400"  # than it takes to ask
    ask = ["--config", longer, "of=vit_affinity_table4", "--", "status"]
    background = subprocess.Popen(
        command(copy_of_finished, "--config", longer, "--", "vit_affinity_table4"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(copy_of_finished),
        start_new_session=True,
    )
    marks = copy_of_finished / ".snakemake/incomplete"
    deadline = time.monotonic() + PATIENCE
    while not any(path.is_file() for path in marks.rglob("*")):
        assert background.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    shown = run(copy_of_finished, *ask)
    assert "running for" in shown.stdout, shown.stdout[-3000:]
    background.kill()
    background.wait()
    time.sleep(3)
    shown = run(copy_of_finished, *ask)
    assert "running for" not in shown.stdout and "interrupted: " in shown.stdout, shown.stdout[-3000:]
