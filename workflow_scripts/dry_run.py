"""The plan of targets from within a rule, with the configuration of the run that the rule belongs to."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedbed.errors import UserError
from seedbed.plan.jobs import PlannedJob, read_plan


def plan_of(snakefile: str, config: Mapping[str, Any], cores: int, targets: Sequence[str]) -> list[PlannedJob]:
    """Return the jobs of a dry run.

    Args:
        snakefile: path of the Snakefile.
        config: every parameter.
        cores: how many the run may use.
        targets: rules or files.

    Raises:
        UserError: Snakemake cannot plan it; with what it says.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, plan = Path(folder) / "config.json", Path(folder) / "plan.json"
        file.write_text(json.dumps({**config, "plan": str(plan)}))
        command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--snakefile", snakefile]
        command += ["--cores", str(cores), "--configfile", str(file)]
        done = subprocess.run([*command, "--", *targets], capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        print(printed, file=sys.stderr)
        if done.returncode:
            lines = [line for line in printed.splitlines() if line.strip() and not line.startswith(("Using", "  File"))]
            raise UserError("the plan cannot be made:\n" + "\n".join(lines[-8:]))
        return read_plan(plan)
