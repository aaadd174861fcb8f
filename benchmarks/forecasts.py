"""Forecast of every table of the papers from nothing: GPU-hours, hours on one card, disk; prints a Markdown table.

The jobs come from one dry run, what they take from `seedbed.plan.forecasts.forecast`. `--write` puts the table into
docs/gpus.md.

python benchmarks/forecasts.py
python benchmarks/forecasts.py --cores 32 --write
"""

import argparse
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from schedule import plan_of
from seedbed.data.raw.sources import load_sources
from seedbed.papers import Layout, read_papers
from seedbed.params import Preset, read_params, resolve
from seedbed.plan import Pipeline
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.forecasts.rates import Rates, devices
from seedbed.plan.forecasts.simulation import Durations, length, longest_chain, simulate
from seedbed.plan.jobs import PlannedJob

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs/gpus.md"
BEGIN, END = "<!-- forecasts: python benchmarks/forecasts.py --write -->", "<!-- end of forecasts -->"
UNPUBLISHED = {"fetch_source", "unpack_source"}  # some files have no published size: they take no time here
HEAD = (
    "| table | GPU-hours, H100 | hours, one H100 | hours, one RTX 4090 (24 GB) | longest chain | core-hours | disk |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def tables(jobs: Sequence[PlannedJob]) -> Iterator[tuple[str, list[PlannedJob]]]:
    """Each table's name and the jobs behind it, in the plan's order."""
    known = {job.id: job for job in jobs}
    for job in jobs:
        if job.rule == "make_table":
            behind, waiting = set(), [job.id]
            while waiting:
                number = waiting.pop()
                if number not in behind:
                    behind.add(number)
                    waiting += known[number].waits_for
            yield f"{job.wildcards['paper']}_{job.wildcards['table']}", [each for each in jobs if each.id in behind]


def at_rates(jobs: Iterable[PlannedJob], preset: Preset, pipeline: Pipeline, rates: Rates) -> list[PlannedJob]:
    """The jobs with their forecast at a device's rates, a training on one GPU."""
    made = Forecaster(preset, rates, pipeline.parameters.protocol)
    single = [replace(job, gpu=min(job.gpu, 1)) for job in jobs]
    taken = [made.seconds(job.rule, job.wildcards, job.threads, job.gpu, job.room) for job in single]
    return [replace(job, seconds=seconds) for job, seconds in zip(single, taken, strict=True)]


def hours(jobs: Sequence[PlannedJob], cores: int) -> Mapping[str, float]:
    """GPU-hours and core-hours that are held, hours on one GPU and so many cores, and of the longest chain."""
    durations = Durations(jobs)
    unknown = sorted({job.rule for job in jobs if durations.limited(job)} - UNPUBLISHED)
    if unknown:
        raise SystemExit(f"Not forecast: {', '.join(unknown)}. Run python benchmarks/count.py")
    seconds = {job.id: durations.seconds(job) if job.seconds is not None else 0.0 for job in jobs}
    found = {
        "gpu": sum(seconds[job.id] * job.gpu for job in jobs),
        "core": sum(seconds[job.id] * job.threads for job in jobs),
        "wall": length(simulate(jobs, seconds, cores, 1)),
        "chain": longest_chain(jobs, seconds),
    }
    return {name: value / 3600 for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=16, help="of the machine")
    parser.add_argument("--write", action="store_true", help="put the table into docs/gpus.md")
    asked = parser.parse_args()
    preset = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": "paper"})
    pipeline = Pipeline(preset, read_papers(REPOSITORY / "papers"), Layout("paper"), load_sources())
    with tempfile.TemporaryDirectory() as folder:
        jobs = plan_of(["all_tables"], Path(folder), [], asked.cores) or []
    fast, small = (at_rates(jobs, preset, pipeline, devices()[name]) for name in ("h100", "rtx4090"))
    rows = []
    every = ("all_tables", fast)
    for (name, on_fast), (_, on_small) in zip([*tables(fast), every], [*tables(small), (every[0], small)], strict=True):
        one, other = hours(on_fast, asked.cores), hours(on_small, asked.cores)
        disk = sum(room.size or 0 for job in on_fast for room in job.room) / 1e9
        rows.append(
            f"| `{name}` | {one['gpu']:.1f} | {one['wall']:.1f} | {other['wall']:.1f} | {one['chain']:.1f} "
            f"| {one['core']:.0f} | {disk:.0f} GB |"
        )
    table = "\n".join((*HEAD, *sorted(rows[:-1]), rows[-1]))
    print(table)
    if asked.write:
        page = PAGE.read_text()
        block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        PAGE.write_text(block.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", page))


if __name__ == "__main__":
    main()
