"""Planning at the published scale, and what the pipeline costs beside the work itself; prints two Markdown tables.

The first: time and peak memory of a dry run of everything from nothing. The second: a target through Snakemake on one
core, against the same scripts in forks of one interpreter (warm_chain.py), which pays imports and planning once. CPU
time stands beside wall time, because it says the same on a busy machine.

OMP_NUM_THREADS=1 python benchmarks/planning.py
OMP_NUM_THREADS=1 python benchmarks/planning.py --target vit_affinity_table4 --micro
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from warm_chain import MICRO, REPOSITORY, warm_chain

COMMAND = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall time of a call, and CPU time of the processes that it starts, in seconds."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    wall, cpu = time.perf_counter(), used()
    call()
    return time.perf_counter() - wall, used() - cpu


def planned(preset: str) -> str:
    """A line of the first table."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*COMMAND, "-n", "--directory", folder, "--config", f"preset={preset}", "--", "all_tables"]
        done = []
        wall, cpu = timed(lambda: done.append(subprocess.run(command, capture_output=True, text=True, check=True)))
    jobs = next(line.split()[1] for line in done[0].stdout.splitlines() if line.startswith("total "))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return f"| all_tables, preset {preset} | {jobs} | {wall:.1f} s | {cpu:.1f} s | {peak:.0f} MB |"


def compared(target: str, configfiles: list[Path]) -> str:
    """A line of the second table."""
    overlay = [option for path in configfiles for option in ("--configfile", str(path))]
    with tempfile.TemporaryDirectory() as folder:
        command = [*COMMAND, "--directory", folder, *overlay, "--", target]
        pipeline = timed(lambda: subprocess.run(command, capture_output=True, check=True))
    with tempfile.TemporaryDirectory() as folder:
        jobs = warm_chain(Path(folder), [target], configfiles)
        os.chdir(folder)
        bare = timed(lambda: [job.run() for job in jobs])
        os.chdir(REPOSITORY)
    shares = [100 * (1 - alone / whole) for alone, whole in zip(bare, pipeline, strict=True)]
    numbers = " | ".join(f"{seconds:.0f} s" for seconds in (pipeline[0], bare[0], pipeline[1], bare[1]))
    return f"| {target} | {len(jobs)} | {numbers} | {shares[0]:.0f} % | {shares[1]:.0f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", help="target of the second table; left out if not given")
    parser.add_argument("--micro", action="store_true", help="on the tests' handful of pictures: jobs of a second")
    asked = parser.parse_args()
    print("| planning | jobs | wall | CPU | peak memory |\n| --- | ---: | ---: | ---: | ---: |")
    print(planned("paper"), flush=True)
    if asked.target:
        print("\n| running | jobs | pipeline, wall | bare, wall | pipeline, CPU | bare, CPU | over, wall | over, CPU |")
        print("| --- " + "| ---: " * 7 + "|")
        print(compared(asked.target, [MICRO] if asked.micro else []), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the planned workflow would print its cost
