"""Snakemake's scheduler sleeps while jobs run, and keeps a limit that the user gives."""

import subprocess
import sys

import pytest
from snakemake_runs import PATIENCE, REPOSITORY

pytestmark = pytest.mark.workflow
SNAKEFILE = f"""
import threading

include: "{REPOSITORY / "rules/engine.smk"}"

rule all:
    input: expand("{{k}}.txt", k=range(12))

rule one:
    output: "{{k}}.txt"
    shell: "sleep 0.1; touch {{output}}"

onsuccess:
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    limiter = workflow.scheduler.job_rate_limiter
    print("timers", len(timers), "limit", limiter and limiter.max_jobs)
"""


@pytest.mark.parametrize("given, limit", [([], None), (["--max-jobs-per-timespan", "50/1s"], 50)])
def test_the_scheduler_wakes_up_for_ended_jobs_alone(tmp_path, given, limit):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(tmp_path), *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = next(line for line in (done.stdout + done.stderr).splitlines() if line.startswith("timers"))
    count = int(said.split()[1])
    assert said.endswith(f"limit {limit}") and (count > 0) == (limit is not None), said
