"""A rule's script started alone, as docs/debugging.md tells."""

import shutil
import subprocess
import sys

import pytest
from snakemake_runs import MICRO, PATIENCE, artifacts, copy_project, environment

pytestmark = pytest.mark.workflow

MAPS = "results/demo/heatmaps/shapes/val/vit_hybrid/vit_affinity_cues/seed0"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def alone(project, copy_of_finished):
    def call(*arguments, typed=""):
        command = [sys.executable, str(project / "workflow_scripts/alone.py"), *arguments]
        command += ["--configfile", str(MICRO), "--directory", str(copy_of_finished)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        variables = environment(copy_of_finished)
        return subprocess.run(command, input=typed, env=variables, timeout=PATIENCE, check=False, **streams)

    return call


def test_a_script_writes_what_its_job_wrote_and_leaves_that_alone(alone, copy_of_finished):
    before = artifacts(copy_of_finished)
    done = alone(f"{MAPS}/1-of-2.h5")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Rule explain, explain.py, into build/alone" in done.stdout and "3/3" in done.stdout, "the log is shown"
    made = copy_of_finished / "build/alone" / MAPS / "1-of-2.h5"
    assert made.read_bytes() == (copy_of_finished / MAPS / "1-of-2.h5").read_bytes()
    assert artifacts(copy_of_finished) == before


def test_a_breakpoint_has_the_terminal(alone, project):
    script = project / "workflow_scripts/score_heatmaps.py"
    text = script.read_text()
    script.write_text(text.replace("with job(snakemake) as this:", "with job(snakemake) as this:\n    breakpoint()"))
    try:
        done = alone(f"{MAPS}/heatmaps.json", typed="p snakemake.wildcards.model, len(snakemake.input.heatmaps)\nc\n")
    finally:
        script.write_text(text)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "('vit_hybrid', 2)" in done.stdout


def test_the_debugger_opens_where_a_script_fails(alone, copy_of_finished):
    (copy_of_finished / MAPS / "2-of-2.h5").write_bytes(b"no HDF5")
    failed = alone(f"{MAPS}/heatmaps.json", "--pdb", typed="where\nq\n")
    assert failed.returncode != 0
    assert "Error in rule score_heatmaps" in failed.stdout and "score_heatmaps.py(" in failed.stdout


@pytest.mark.slow
def test_what_cannot_be_started_is_said(alone, copy_of_finished):
    assert "has no script, it only asks for other files" in alone("vit_affinity_table4").stdout
    missing = alone("results/demo/nothing.h5")
    assert missing.returncode != 0 and "the plan cannot be made" in missing.stdout
    assert "No rule to produce results/demo/nothing.h5" in missing.stdout and "Traceback" not in missing.stdout
    shutil.rmtree(copy_of_finished / MAPS)
    absent = alone(f"{MAPS}/heatmaps.json").stdout
    assert f"Make it: snakemake --cores all --configfile {MICRO} -- {MAPS}/1-of-2.h5" in absent
