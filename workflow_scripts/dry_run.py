"""The plan of targets from within a rule, with the configuration of the run that the rule belongs to."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The library beside the workflow, as in `job`, which may be imported after this.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

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
        print(dry_run(snakefile, "--cores", str(cores), "--configfile", str(file), "--", *targets), file=sys.stderr)
        return read_plan(plan)


def dry_run(snakefile: str, *arguments: str) -> str:
    """Return what a dry run prints.

    Raises:
        UserError: Snakemake cannot plan it; with the last lines of what it says.
    """
    command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--snakefile", snakefile, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    if done.returncode:
        print(printed, file=sys.stderr)
        lines = [line for line in printed.splitlines() if line.strip() and not line.startswith(("Using", "  File"))]
        raise UserError("the plan cannot be made:\n" + "\n".join(lines[-8:]))
    return printed
