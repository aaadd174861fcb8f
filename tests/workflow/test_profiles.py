"""The profile for other schedulers: what can be checked without one."""

import os
import subprocess

import pytest
import yaml
from snakemake_runs import REPOSITORY

GENERIC = REPOSITORY / "profiles/generic"
FORM = "Job Id: 7.server\n    Job_Name = explain\n    job_state = {state}\n    queue = batch\n{end}"


@pytest.mark.parametrize(
    ("state", "end", "expected"),
    [
        ("Q", "", "running"),
        ("R", "", "running"),
        ("F", "    Exit_status = 0\n", "success"),
        ("C", "    Exit_status = 271\n", "failed"),
        ("F", "", "failed"),
        (None, "", "running"),
    ],
)
def test_state_of_a_pbs_job(tmp_path, state, end, expected):
    said = FORM.format(state=state, end=end)
    answer = f"cat <<'END'\n{said}\nEND\n" if state else "exit 255\n"
    qstat = tmp_path / "qstat"
    qstat.write_text(f"#!/bin/sh\n{answer}")
    qstat.chmod(0o755)
    printed = subprocess.run(
        [str(GENERIC / "pbs_status.sh"), "7.server"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert printed.stdout == f"{expected}\n"


def test_generic_profile_asks_for_what_rules_declare():
    profile = yaml.safe_load((GENERIC / "profile.yaml").read_text())
    filled = profile["cluster-generic-submit-cmd"].format(threads=4, resources=Resources)
    assert "ncpus=4:ngpus=2:mem=900mb" in filled and "walltime=30:00" in filled
    assert (REPOSITORY / profile["cluster-generic-status-cmd"]).is_file()


class Resources:
    gpu, mem_mb, runtime = 2, 900, 30
