"""A dry run of targets from within a rule, with the configuration of the run that the rule belongs to."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedbed.errors import UserError


def dry_run(snakefile: str, config: Mapping[str, Any], cores: int, targets: Sequence[str], *quiet: str) -> str:
    """Return what the dry run printed of its own accord.

    Args:
        snakefile: path of the Snakefile.
        config: every parameter.
        cores: how many the run may use.
        targets: rules or files.
        quiet: kinds of output to leave out, see ``snakemake --quiet``.

    Raises:
        UserError: Snakemake cannot plan it; with what it says.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(config))
        command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--snakefile", snakefile]
        command += ["--cores", str(cores), "--configfile", str(file), *(["--quiet", *quiet] if quiet else [])]
        done = subprocess.run([*command, "--", *targets], capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    print(printed, file=sys.stderr)
    if done.returncode:
        lines = [line for line in printed.splitlines() if line.strip() and not line.startswith(("Using", "  File"))]
        raise UserError("the plan cannot be made:\n" + "\n".join(lines[-8:]))
    return done.stdout
