"""Jobs in a container: what Snakemake asks of Apptainer, answered by a script that runs the command right here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_runs import PATIENCE, command, environment

pytestmark = pytest.mark.workflow
APPTAINER = """#!/bin/bash
if [ "$1" = --version ]; then echo apptainer version 1.3.4; exit; fi
echo "$@" >> {asked}
exec "${{@: -3}}" # the shell, -c, and what it is to run
"""
CARD = "data/shapes/card.json"


def test_a_job_runs_in_the_image_that_is_named(tmp_path):
    asked, tools = tmp_path / "asked.txt", tmp_path / "tools"
    tools.mkdir()
    (tools / "apptainer").write_text(APPTAINER.format(asked=asked))
    (tools / "apptainer").chmod(0o755)
    (tmp_path / "seedbed.sif").touch()
    own = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command(tmp_path, "--sdm", "apptainer", "--config", f"container={tmp_path}/seedbed.sif", "--", CARD),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**environment(tmp_path), "PATH": own},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / CARD).exists()
    (said,) = asked.read_text().splitlines()
    assert "exec" in said and f"{tmp_path}/seedbed.sif" in said and "make_shapes.py" in said
