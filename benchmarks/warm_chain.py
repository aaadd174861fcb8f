"""A target's jobs without Snakemake around them: planned once, then each script in a fork of one interpreter.

Imports and planning are paid once, so a chain takes the time of its computation: what planning.py compares the pipeline
with, and what lets faults.py break hundreds of jobs in minutes.
"""

import importlib
import logging
import os
import runpy
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from hashlib import sha256
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.iocontainers import Snakemake
from snakemake.settings import enums, types

REPOSITORY = Path(__file__).resolve().parents[1]
MICRO = REPOSITORY / "tests/workflow/micro.yaml"
HEAVY = "torch torchvision timm sklearn.metrics scipy.ndimage h5py matplotlib.pyplot pydensecrf.densecrf jinja2".split()


class WarmJob:
    """One job: what its script is handed, and the files it makes."""

    def __init__(self, job, config: dict) -> None:
        self.rule, self.outputs = job.rule.name, [str(path) for path in job.output]
        self.script = REPOSITORY / "workflow_scripts" / Path(job.rule.script).name
        self.handed = Snakemake(
            job.input,
            job.output,
            job.params,
            job.wildcards,
            job.threads,
            job.resources,
            job.log,
            config,
            job.rule.name,
            None,
            str(self.script.parent),
        )

    def start(self) -> int:
        """Start the script in a fork, in the working directory of this process; returns its process id."""
        sys.stdout.flush()
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            for path in self.outputs:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            runpy.run_path(str(self.script), init_globals={"snakemake": self.handed}, run_name="__main__")
            status = 0
        finally:
            os._exit(status)  # no clean-up of what belongs to the parent

    def run(self) -> float:
        """Run the script to its end; returns the seconds it took.

        Raises:
            RuntimeError: it failed.
        """
        begin = time.perf_counter()
        _, status = os.waitpid(self.start(), 0)
        if status:
            raise RuntimeError(f"{self.rule} failed with status {status}; see {self.handed.log}")
        return time.perf_counter() - begin


def warm_chain(
    folder: Path,
    targets: Sequence[str],
    configfiles: Sequence[Path] = (MICRO,),
    config: Mapping[str, object] | None = None,
) -> list[WarmJob]:
    """Plan targets from nothing in an empty folder; returns their jobs, each after those that it waits for."""
    sys.path.insert(0, str(REPOSITORY / "workflow_scripts"))
    for name in HEAVY:
        importlib.import_module(name)
    quiet = types.OutputSettings(dryrun=True, quiet=frozenset({enums.Quietness.ALL}), enable_file_logging=False)
    logging.disable(logging.CRITICAL)  # the plan is not to be printed
    with Path(os.devnull).open("w") as null, redirect_stdout(null), SnakemakeApi(quiet) as api:
        workflow = api.workflow(
            resource_settings=types.ResourceSettings(cores=1),
            config_settings=types.ConfigSettings(config=config or {}, configfiles=list(configfiles)),
            snakefile=REPOSITORY / "Snakefile",
            workdir=folder,
        )
        planned = workflow.dag(types.DAGSettings(targets=set(targets)))
        planned.execute_workflow(executor="dryrun")
        inner = workflow._workflow
        levels = inner.dag.toposorted()
        jobs = [WarmJob(job, inner.config) for level in levels for job in sorted(level, key=str) if job.rule.script]
    logging.disable(logging.NOTSET)
    return jobs


def checksums(folder: Path) -> dict[str, str]:
    """Checksums of everything below a folder but logs and Snakemake's own records."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    kept = (path for path in found if not {".snakemake", "logs"} & set(path.relative_to(folder).parts))
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in kept}


def kill(child: int) -> bool:
    """Kill a job and wait for its end; returns whether it was still at work."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
