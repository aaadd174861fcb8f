"""Real Snakemake on tiny data, always under an outer time-out: against what hangs, not against a busy machine."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MICRO = Path(__file__).with_name("micro.yaml")
TABLE = "results/demo/tables/vit_affinity/table4"
PATIENCE = 1200
"""Seconds that any one run may take: some ten times what it takes alone."""
PROJECT = (
    *("Snakefile", "params.yaml", "environment.yml"),
    *("src", "rules", "workflow_scripts", "papers", "schemas", "pretrained", "profiles"),
)
"""What a run needs of the project."""


def copy_project(root: Path) -> Path:
    """Copy the project into an empty folder, to change it there; returns the folder."""
    root.mkdir(exist_ok=True)
    for name in PROJECT:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, root / name)
    return root


def command(
    workdir: Path, *arguments: str, cores: int = 2, micro: bool = True, python: str | Path = sys.executable
) -> list[str]:
    """The command line of a run in ``workdir``; positional targets go last, after ``--``."""
    overlay = ["--configfile", str(MICRO)] if micro else []
    base = [str(python), "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    return [*base, "--directory", str(workdir), "--cores", str(cores), *overlay, *arguments]


def run(workdir: Path, *arguments: str, timeout: int = PATIENCE, **options) -> subprocess.CompletedProcess:
    """Run Snakemake to its end and return what it printed on both streams, in ``stdout``."""
    workdir.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        command(workdir, *arguments, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        env=environment(workdir),
        check=False,
    )


def environment(workdir: Path) -> dict[str, str]:
    """The caller's environment without its tracking server and its cluster."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "SLURM_"))}
    return {**kept, "XDG_CACHE_HOME": str(workdir / ".cache")}


def artifacts(workdir: Path) -> dict[str, str]:
    """Checksums of everything a run leaves, but for what holds times or run ids."""
    root = workdir / "results" / "demo"
    passing = {"logs", "benchmarks", "tracking"}
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in passing
    }


def jobs_of(output: str) -> dict[str, int]:
    """Jobs by rule from Snakemake's "Job stats" table."""
    lines = iter(output.splitlines())
    counts: dict[str, int] = {}
    for line in lines:
        if line.startswith("Job stats:"):
            next(lines)
            next(lines)
            for row in lines:
                if row.startswith("total") or not row.strip():
                    return counts
                name, number = row.split()
                counts[name] = int(number)
    return counts
