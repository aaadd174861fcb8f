"""The Slurm profile: what it asks for, and what it survives, on a real cluster of one node (slurm_cluster.py)."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import cluster, missing_programs
from snakemake_runs import MICRO, REPOSITORY, artifacts, environment

pytestmark = pytest.mark.workflow
needs_slurm = pytest.mark.skipif(
    bool(missing_programs()),
    reason=f"Slurm is not installed; missing: {', '.join(missing_programs())} "
    "(Debian: slurmctld slurmd slurm-client munge; .ci/run installs them)",
)
PROFILE = REPOSITORY / "profiles/slurm"
HEATMAPS = "results/demo/heatmaps/shapes/val/vit_hybrid/vit_affinity_cues/seed0"


@pytest.fixture(scope="module")
def slurm():
    with cluster() as running:
        yield running


def command(workdir: Path, *arguments: str, target: str) -> list[str]:
    """A run through the profile; polling is made quick, and this cluster has no accounting."""
    base = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--profile", str(PROFILE)]
    quick = "--slurm-init-seconds-before-status-checks 2 --slurm-status-command squeue --latency-wait 10".split()
    return [*base, "--directory", str(workdir), "--configfile", str(MICRO), *quick, *arguments, "--", target]


@contextlib.contextmanager
def started(slurm, workdir: Path, *arguments: str, target: str):
    """A run in the background, interrupted at the end if it is still there."""
    log = (workdir / "run.log").open("w+")
    process = subprocess.Popen(
        command(workdir, *arguments, target=target),
        env={**slurm.environment, "XDG_CACHE_HOME": str(workdir / ".cache")},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    process.printed = lambda: (workdir / "run.log").read_text()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(condition, seconds: float, run: subprocess.Popen):
    """The first true value of a condition; fails when the run ends before or time is over."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert run.poll() is None, run.printed()[-4000:]
        assert time.monotonic() < deadline, f"waited {seconds} s in vain\n" + run.printed()[-4000:]
        time.sleep(0.2)
    return found


def jobs_of(slurm, workdir: Path, mark: str, *states: str) -> list[dict[str, str]]:
    """Jobs of a run whose comment, the rule and its wildcards, holds ``mark``, oldest first.

    The cluster remembers ended jobs of other tests' runs.
    """
    found = [job for job in slurm.queue(*states) if job["WorkDir"] == str(workdir) and mark in job["Comment"]]
    return sorted(found, key=lambda job: int(job["JobID"]))


def workers_of(workdir: Path, mark: str) -> list[int]:
    """Processes that run a rule's script and whose Snakemake's command line holds ``mark``."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == workdir:
                line = (entry / "cmdline").read_text().replace("\0", " ")
                if mark in line and "slurm-jobstep" not in line and "srun" not in line:
                    found.append(int(entry.name))
    return found


def without_heatmaps(workdir: Path) -> Path:
    """A finished run that lost its heat maps of val."""
    for path in [*workdir.glob(f"{HEATMAPS}/*.h5"), workdir / HEATMAPS / "heatmaps.json"]:
        path.unlink()
    return workdir


def recorded(tmp_path: Path, *config: str) -> str:
    """The first command line that the profile submits, recorded by an ``sbatch`` that refuses every job."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sinfo", "squeue", "scontrol", "scancel"):
        (programs / name).write_text("#!/bin/sh\n")
    (programs / "sbatch").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/submitted\nexit 1\n')
    for path in programs.iterdir():
        path.chmod(0o755)
    refused = subprocess.run(
        command(tmp_path, "--retries", "0", "--config", *config, target="data/shapes/index.csv"),
        env={**environment(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode != 0 and "sbatch failed" in refused.stderr, refused.stderr[-3000:]
    return (tmp_path / "submitted").read_text()


RESOURCES = "resources__default={threads: 3, gpu: 2, mem_mb: 1234, runtime: 56}"


def test_what_is_submitted(tmp_path):
    line = recorded(tmp_path, RESOURCES)
    for option in ("-p main", "-t 56", "--mem 1234", "--nodes=1", "--cpus-per-task=3", "--gpus=2"):
        assert f" {option} " in line, line
    assert "--gres" not in line


def test_what_is_submitted_on_a_site_that_wants_gres(tmp_path):
    line = recorded(tmp_path, RESOURCES, "gres=gpu:a100")
    assert " --gres=gpu:a100:2 " in line and "--gpus" not in line, line


@pytest.mark.slow
@needs_slurm
def test_a_cancelled_job_is_submitted_again(slurm, finished, copy_of_finished):
    workdir, first = without_heatmaps(copy_of_finished), "1-of-2"
    asked = ["--config", "resources__explain={threads: 3, gpu: 1, mem_mb: 1500, runtime: 10}"]
    with started(slurm, workdir, *asked, target=f"{HEATMAPS}/{first}.h5") as run:
        wait_for(lambda: jobs_of(slurm, workdir, first, "RUNNING"), 300, run)
        (cancelled,) = jobs_of(slurm, workdir, first)
        assert cancelled["Partition"] == "main" and cancelled["NumCPUs"] == "3"
        assert cancelled["MinMemory"] == "1500M" and cancelled["TimeLimit"] == "10:00"
        assert re.search(r"gpu:1$", cancelled["tres-per-job"]), cancelled
        slurm.call("scancel", cancelled["JobID"])
        assert run.wait(600) == 0, run.printed()[-4000:]
    assert [job["State"] for job in jobs_of(slurm, workdir, first)] == ["CANCELLED", "COMPLETED"]
    name = f"{HEATMAPS}/{first}.h5"
    assert (workdir / name).read_bytes() == (finished / name).read_bytes()


@needs_slurm
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cancelled_job_a_hanging_job_and_a_restarted_controller(slurm, finished, copy_of_finished):
    """Two shards: one is cancelled, one hangs until its time is over, and meanwhile the controller restarts."""
    workdir, (first, second) = without_heatmaps(copy_of_finished), ("1-of-2", "2-of-2")
    asked = ["--config", "resources__explain={threads: 3, gpu: 1, mem_mb: 1500, runtime: 10}"]
    with started(slurm, workdir, *asked, target=f"{HEATMAPS}/heatmaps.json") as run:
        wait_for(lambda: len(jobs_of(slurm, workdir, "rule_explain", "RUNNING")) == 2, 150, run)
        hanging, cancelled = jobs_of(slurm, workdir, second)[0], jobs_of(slurm, workdir, first)[0]
        for job in (hanging, cancelled):
            assert job["Partition"] == "main" and job["NumCPUs"] == "3"
            assert job["MinMemory"] == "1500M" and job["TimeLimit"] == "10:00"
            assert re.search(r"gpu:1$", job["tres-per-job"]), job
        slurm.call("scancel", cancelled["JobID"])
        for pid in wait_for(lambda: workers_of(workdir, second), 60, run):
            os.kill(pid, signal.SIGSTOP)
        slurm.call("scontrol", "update", f"jobid={hanging['JobID']}", "EndTime=now+1")
        wait_for(lambda: len(jobs_of(slurm, workdir, first)) == 2, 150, run)
        slurm.restart_controller()
        wait_for(lambda: len(jobs_of(slurm, workdir, second)) == 2, 150, run)
        assert run.wait(250) == 0, run.printed()[-4000:]
    assert [job["State"] for job in jobs_of(slurm, workdir, first)] == ["CANCELLED", "COMPLETED"]
    out_of_time, again = jobs_of(slurm, workdir, second)
    assert (out_of_time["State"], again["State"]) == ("TIMEOUT", "COMPLETED")
    assert (again["MinMemory"], again["TimeLimit"]) == ("3000M", "20:00")
    assert artifacts(workdir) == artifacts(finished)


@needs_slurm
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_headline_chain_in_arrays_on_a_gres_site_with_its_own_partition(slurm, finished, tmp_path):
    arrays = "explain, random_walk, segment"
    asked = ["--slurm-array-jobs", arrays, "--default-resources", "slurm_partition=gpu-short", "nodes=1"]
    config = ["--config", "gres=gpu", "resources__explain={threads: 1, gpu: 2, mem_mb: 2500, runtime: 10}"]
    with started(slurm, tmp_path, *asked, *config, target="results/demo/tables/vit_affinity/table4.csv") as run:
        assert run.wait(1500) == 0, run.printed()[-4000:]
    jobs = slurm.queue()
    here = [job for job in jobs if job["Partition"] == "gpu-short"]
    assert {job["State"] for job in here} == {"COMPLETED"} and len(here) >= 12
    explained = [job for job in here if "rule_explain" in job["Comment"]]
    assert explained and all(re.search(r"gpu:2$", job["tres-per-node"]) for job in explained)
    assert run.printed().count("Submitted array job") == 3  # one a rule, both splits in it
    made, whole = artifacts(tmp_path), artifacts(finished)
    assert len(made) >= 20
    for name, digest in made.items():
        assert digest == whole[name], name


@needs_slurm
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_out_of_time_goes_on_with_more(slurm, tmp_path):
    """A limit of one minute ends a training of several; the next attempt asks for more and resumes."""
    epochs = ["models__vit_hybrid__train__epochs=400", "models__vit_hybrid__train__save_every_seconds=5"]
    limit = "resources__train_classifier={threads: 2, gpu: 0, mem_mb: 2500, runtime: 1}"
    target = "results/demo/classifiers/shapes/vit_hybrid/seed0/model.safetensors"
    with started(slurm, tmp_path, "--config", *epochs, limit, target=target) as run:
        wait_for(lambda: len(jobs_of(slurm, tmp_path, "rule_train_classifier")) == 2, 400, run)
        again = jobs_of(slurm, tmp_path, "rule_train_classifier")[1]
        assert (again["TimeLimit"], again["MinMemory"]) == ("2:00", "5000M")
        log = tmp_path / "results/demo/logs/classifiers/shapes/vit_hybrid/seed0.log"
        wait_for(lambda: log.is_file() and "going on from step" in log.read_text(), 100, run)
    assert jobs_of(slurm, tmp_path, "rule_train_classifier")[0]["State"] == "TIMEOUT"


@needs_slurm
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_snakemake_goes_on_after_scancel(slurm, finished, copy_of_finished):
    """As docs/cluster.md says: its jobs live on; cancel them by the run's name, then start again."""
    workdir = without_heatmaps(copy_of_finished)
    with started(slurm, workdir, target=f"{HEATMAPS}/heatmaps.json") as run:
        wait_for(lambda: jobs_of(slurm, workdir, "rule_explain", "RUNNING"), 150, run)
        name = re.search(r"SLURM run ID: (\S+)", run.printed()).group(1)
        run.kill()
        run.wait()
    slurm.call("scancel", "--name", name)
    with started(slurm, workdir, target=f"{HEATMAPS}/heatmaps.json") as run:
        assert run.wait(400) == 0, run.printed()[-4000:]
    assert artifacts(workdir) == artifacts(finished)
