"""SIGKILL at any moment: the next run goes on by itself and ends in the same artifacts, byte for byte."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from snakemake_runs import PATIENCE, artifacts, command, environment, run

pytestmark = pytest.mark.workflow
MAPS = "results/demo/heatmaps/shapes/val/vit_hybrid/vit_affinity_cues/seed0/heatmaps.json"


def start(workdir, *arguments):
    workdir.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        command(workdir, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(workdir),
        start_new_session=True,
    )


def kill_after(workdir, seconds, *arguments, whole_group=True):
    """Start a run and kill it; returns whether it was still running."""
    process = start(workdir, *arguments)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        return True


def test_killed_twice_ends_in_the_same_maps(finished, tmp_path):
    rng = random.Random(20261121)
    killed = [kill_after(tmp_path, rng.uniform(4, 16), "--", MAPS) for _ in range(2)]
    assert any(killed)
    done = run(tmp_path, "--", MAPS)
    assert done.returncode == 0, done.stdout[-4000:]
    made, whole = artifacts(tmp_path), artifacts(finished)
    assert len(made) >= 5
    assert made == {name: whole[name] for name in made}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_twenty_times_across_all_stages_ends_in_the_same_artifacts(finished, tmp_path):
    """Snakemake alone, a job alone, or all at once; each run lives long enough to come further than the one before."""
    rng = random.Random(20261124)
    for number in range(20):
        process = start(tmp_path)
        reach = time.monotonic() + PATIENCE
        begun = finished_jobs(tmp_path)
        while finished_jobs(tmp_path) <= begun and process.poll() is None and time.monotonic() < reach:
            time.sleep(0.2)  # at least one job more, so that twenty kills spread over the chain
        time.sleep(rng.uniform(0, 6))
        victims = [pid for pid in orphans(tmp_path) if pid != process.pid]
        if number % 3 == 0 and victims:  # a job: Snakemake ends by itself, with an error
            os.kill(rng.choice(victims), signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        if process.poll() is None:
            (os.killpg if number % 3 == 1 else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert artifacts(tmp_path) == artifacts(finished)


def finished_jobs(workdir):
    """Jobs that wrote their benchmark record."""
    return sum(1 for _ in (workdir / "results/demo/benchmarks").rglob("*.tsv"))


def test_jobs_do_not_outlive_a_killed_snakemake(tmp_path):
    assert kill_after(tmp_path, 6, whole_group=False)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and orphans(tmp_path):
        time.sleep(0.5)
    assert orphans(tmp_path) == []


def orphans(workdir):
    """Processes that work in ``workdir``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if (entry / "cwd").readlink() == workdir:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
