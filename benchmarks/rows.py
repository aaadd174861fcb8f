"""What each row of a table takes, step by step, beside the number that it ends in; prints a Markdown table.

Seconds of the jobs behind a row: those of the benchmark records of a run (`--run`; of its finished rows), by its CPU or
its wall clock; else the forecast of `snakemake cost`, on one H100, or what of it the networks alone take (`--clock
network`): trainings may wait for the cores that read their images. `a picture` is the sum over the steps of seconds by
images that the step works on, a training's each once.

python benchmarks/rows.py aream table1 --column voc
python benchmarks/rows.py aream table1 --column voc --clock network
python benchmarks/rows.py aream table1 --column voc --preset demo --run FOLDER --clock cpu_time
"""

import argparse
import csv
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from forecasts import at_rates
from schedule import REPOSITORY, plan_of
from seedbed.data.raw.sources import load_sources
from seedbed.io.atomic import read_json
from seedbed.papers import Cell, Layout, read_papers, table_cells
from seedbed.params import Preset, read_params, resolve
from seedbed.params.preset import TRAININGS
from seedbed.plan import Pipeline
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.forecasts.rates import devices
from seedbed.plan.forecasts.typical import images_of, split_sizes
from seedbed.plan.jobs import PlannedJob

STEPS = {
    "train_classifier": "classifier",
    "explain": "maps",
    "label_affinities": "labels",
    "train_affinity_network": "affinity network",
    "random_walk": "walk",
    "refine_masks": "refining",
    "train_segmenter": "segmentation network",
    "segment": "its masks",
}
"""Rules that are steps of a row -> what a column calls them."""
Seconds = Callable[[PlannedJob], float]


class Step(NamedTuple):
    """What a step takes: all of it, and for one of its images."""

    seconds: float = 0.0
    each: float = 0.0


def behind(jobs: Sequence[PlannedJob], output: str) -> list[PlannedJob]:
    """The job that makes a file, and all that it waits for, each once."""
    known = {job.id: job for job in jobs}
    waiting, found = [job.id for job in jobs if job.output == output], set()
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += known[number].waits_for
    return [job for job in jobs if job.id in found]


def images(job: PlannedJob, preset: Preset) -> float:
    """Images that a job of a step works on, those of a training each once."""
    names, dataset = job.wildcards, preset.on(job.wildcards["dataset"])
    sizes = preset.datasets[names["dataset"]]
    if job.rule in TRAININGS:
        table, wildcard = TRAININGS[job.rule]
        return split_sizes(sizes)[getattr(dataset, table)[names[wildcard]].train.split]
    if job.rule == "label_affinities":
        names = {"split": dataset.affinity_networks[names["network"]].train.split, **names}
    return images_of(sizes, names) or 0.0


def steps(jobs: Sequence[PlannedJob], seconds: Seconds, preset: Preset) -> dict[str, Step]:
    """Each step among the jobs, by its rule."""
    found: dict[str, Step] = {}
    for rule in STEPS:
        alike: defaultdict[tuple, list[PlannedJob]] = defaultdict(list)  # shards, and two splits of one kind of maps
        for job in jobs:
            if job.rule == rule:
                names = {key: name for key, name in job.wildcards.items() if key not in ("scatteritem", "split")}
                alike[tuple(sorted(names.items()))].append(job)
        parts = [
            Step(sum(map(seconds, part)), sum(map(seconds, part)) / sum(images(job, preset) for job in part))
            for part in alike.values()
        ]
        if parts:
            found[rule] = Step(sum(part.seconds for part in parts), sum(part.each for part in parts))
    return found


def recorded(run: Path, clock: str) -> Seconds:
    """Seconds by the benchmark records of a finished run, as ``clock`` (a column of them) has them."""

    def seconds(job: PlannedJob) -> float:
        path = run / str(job.benchmark)
        if not path.is_file():
            raise SystemExit(f"{path} is not there. Finish the run first.")
        with path.open(newline="", encoding="utf-8") as stream:
            return float(next(csv.DictReader(stream, delimiter="\t"))[clock])

    return seconds


def forecast(job: PlannedJob) -> float:
    """Seconds that `snakemake cost` forecasts.

    Raises:
        SystemExit: there is no forecast.
    """
    if job.seconds is None:
        raise SystemExit(f"{job.output}: no forecast. Run python benchmarks/count.py")
    return job.seconds


def of_networks(forecaster: Forecaster) -> Seconds:
    """Seconds that a forecast has the networks of a job compute, whatever cores do beside."""

    def seconds(job: PlannedJob) -> float:
        work = forecaster.work(job.rule, job.wildcards, job.threads)
        if work is None or work.network is None:
            return 0.0
        key = work.network.key
        return work.images * forecaster.rates.seconds(key, forecaster.counts[key], work.batch, work.bf16)

    return seconds


def lines(rows: dict[str, dict[str, Step]], measured: dict[str, float]) -> Iterator[str]:
    """The Markdown table: its head, then a line a row; steps that no row has are left out."""
    used = [rule for rule in STEPS if any(rule in found for found in rows.values())]
    titles = ["row", *(["number, %"] if measured else []), *(f"{STEPS[rule]}, s" for rule in used), "a picture, s"]
    yield f"| {' | '.join(titles)} |"
    yield f"| --- |{' ---: |' * (len(titles) - 1)}"
    for label, found in rows.items():
        number = [f"{100 * measured[label]:.1f}"] if measured else []
        each = sum(step.each for step in found.values())
        cells = [label, *number, *(f"{found[rule].seconds:.0f}" if rule in found else "" for rule in used)]
        yield f"| {' | '.join([*cells, f'{each:.3f}'])} |"


def cells_of(pipeline: Pipeline, preset: Preset, paper: str, table: str, column: str) -> dict[str, Cell]:
    """The measured cells of a column, by the label of their row."""
    (found,) = (each for each in pipeline.papers[paper].tables if each.id == table)
    labels = {row.id: row.label for row in found.rows}
    made = table_cells(found, preset, Layout(preset.name))
    return {labels[cell.row]: cell for cell in made if cell.column == column and cell.sources}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paper")
    parser.add_argument("table")
    parser.add_argument("--column", required=True)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--run", type=Path, help="folder in which a run has finished; without it, a forecast")
    clocks = ("s", "cpu_time", "network")
    parser.add_argument("--clock", choices=clocks, default="s", help="wall or CPU time of records; networks alone")
    asked = parser.parse_args()
    preset = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": asked.preset})
    pipeline = Pipeline(preset, read_papers(REPOSITORY / "papers"), Layout(preset.name), load_sources())
    with tempfile.TemporaryDirectory() as folder:
        target = f"{asked.paper}_{asked.table}"
        jobs = plan_of([target], Path(folder), [f"preset={asked.preset}"]) or []
    jobs = at_rates(jobs, preset, pipeline, devices()["h100"])
    seconds = forecast if asked.run is None else recorded(asked.run, asked.clock)
    if asked.clock == "network":
        seconds = of_networks(Forecaster(preset, devices()["h100"], pipeline.parameters.protocol))
    cells = cells_of(pipeline, preset, asked.paper, asked.table, asked.column)
    if asked.run is not None:
        cells = {label: cell for label, cell in cells.items() if (asked.run / cell.sources[0]).is_file()}
    rows = {label: steps(behind(jobs, cell.sources[0]), seconds, preset) for label, cell in cells.items()}
    measured: dict[str, float] = {}
    if asked.run is not None:
        measured = {
            label: read_json(asked.run / cell.sources[0])[cell.measured.metric] for label, cell in cells.items()
        }
    print("\n".join(lines(rows, measured)))


if __name__ == "__main__":
    main()
