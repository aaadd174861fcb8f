"""Counts what the jobs of all tables repeat for each image; writes src/seedbed/plan/forecasts/counted.json.

Networks run on tensors without values, so that a full-size step takes seconds. Functions of `answered.py`, which ask
for values, compute within it on made images; where anything else of a step asks for a value, all of it runs on the CPU.
What cores do is timed: the least CPU time of a few runs, on one core. Units that are counted already are kept, those
that no job has any more are dropped.

OMP_NUM_THREADS=1 python benchmarks/count.py
OMP_NUM_THREADS=1 python benchmarks/count.py --again walk merge
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import core_work
import work
from answered import VALUES_ASKED, answered
from counting import Unvalued, as_on_a_gpu, count
from scenes import made_samples
from schedule import plan_of
from seedbed.data.raw.sources import load_sources
from seedbed.papers import Layout, read_papers
from seedbed.params import read_params, resolve
from seedbed.plan import Pipeline
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.forecasts.rates import devices
from seedbed.plan.forecasts.units import Unit

REPOSITORY = Path(__file__).resolve().parents[1]
FILE = REPOSITORY / "src/seedbed/plan/forecasts/counted.json"
IMAGES = 2  # in a batch that is counted
REPEATS = {"load": 12}
WITH_VALUES = ("measure", "network")  # they read what a network gives, and so run on the CPU


def units() -> Iterator[Unit]:
    """Every unit of the jobs of all tables and figures, in every preset, of the evidence and of one's own images."""
    for preset in ("paper", "small", "demo"):
        yield from _units_of("all_tables", {"preset": preset})
    with tempfile.TemporaryDirectory() as folder:
        samples = made_samples(Path(folder))
        yield from _units_of("evidence", {"preset": "small", "samples": str(samples)})
        yield from _units_of("my_masks", {"preset": "small", "dataset": str(samples / "voc-sample")})


def _units_of(target: str, config: dict[str, str]) -> Iterator[Unit]:
    resolved = resolve({**read_params(REPOSITORY / "params.yaml"), **config})
    pipeline = Pipeline(resolved, read_papers(REPOSITORY / "papers"), Layout(config["preset"]), load_sources())
    forecaster = Forecaster(resolved, devices()["h100"], pipeline.parameters.protocol, {})
    with tempfile.TemporaryDirectory() as folder:
        jobs = plan_of([target], Path(folder), [f"{key}={value}" for key, value in config.items()]) or []
    for job in jobs:
        found = forecaster.work(job.rule, job.wildcards, job.threads)
        yield from forecaster.missing(found) if found else ()


def operations(unit: Unit) -> dict[str, float]:
    """Operations, bytes and kernels of a unit that runs a network."""
    with tempfile.TemporaryDirectory() as folder, as_on_a_gpu(unit.spec.get("bf16", False)), answered():
        try:
            place = _as_it_is if unit.kind in WITH_VALUES else Unvalued()
            totals = _operations(unit, place, Path(folder))
        except VALUES_ASKED:
            totals = _operations(unit, _as_it_is, Path(folder))
    step, optimizer = totals["step"], totals.get("optimizer", {"bytes": 0.0})
    each = _images(unit)
    return {
        "flops": step["flops"] / each,
        "bytes": step["bytes"] / each,
        "kernels": step["kernels"] / (IMAGES if unit.kind == "segment" else 1),  # which runs image by image
        "step_bytes": optimizer["bytes"],
    }


def _as_it_is(what: Any) -> Any:
    return what


def _operations(unit: Unit, place: Any, folder: Path) -> Any:
    step = work.build(unit.kind, unit.spec, _images(unit), place, torch.device("cpu"), folder)
    return count(step, getattr(getattr(step, "run", None), "optimizer", None))


def _images(unit: Unit) -> int:
    return 1 if unit.kind in WITH_VALUES else IMAGES


def core_seconds(unit: Unit) -> float:
    """CPU seconds of a unit that cores do: the least of three, the mean of twelve where each draws at random."""
    with tempfile.TemporaryDirectory() as folder:
        step, times = core_work.build(unit.kind, unit.spec, Path(folder)), []
        step()
        for _ in range(REPEATS.get(unit.kind, 3)):
            begun = time.process_time()
            step()
            times.append(time.process_time() - begun)
    return sum(times) / len(times) if unit.kind in REPEATS else min(times)


def repeated(unit: Unit, steps: int) -> dict[str, float]:
    """Operations of an explanation of ``steps`` alike, from those of none and of one: on cores all take long."""
    options = unit.spec["options"]
    none, one = (
        operations(Unit(unit.kind, unit.about, {**unit.spec, "options": {**options, "steps": n}})) for n in (0, 1)
    )
    return {key: none[key] + steps * (one[key] - none[key]) for key in none}


def counted(unit: Unit) -> dict[str, float]:
    """A unit's count, as `seedbed.plan.forecasts.counts.Count` takes it; four digits."""
    steps = unit.spec["options"].get("steps") if unit.kind == "explain" else None
    if steps is not None:
        found = repeated(unit, steps)
    else:
        found = {"seconds": core_seconds(unit)} if unit.kind in core_work.KINDS else operations(unit)
    return {key: float(f"{value:.4g}") for key, value in found.items() if value}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", nargs="*", default=[], metavar="KIND", help="kinds of units to count anew")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    wanted = {unit.key: unit for unit in units()}
    table = {key: known[key] for key, unit in wanted.items() if key in known and unit.kind not in asked.again}
    for key, unit in sorted(wanted.items(), key=lambda item: item[1].kind in WITH_VALUES):  # the slow ones last
        if key in table:
            continue
        begun = time.time()
        table[key] = {"about": unit.about, "count": counted(unit)}
        took = f"{time.time() - begun:.0f} s"
        print(f"{unit.kind} {unit.about}: {table[key]['count']} ({took})", file=sys.stderr, flush=True)
        write(table)
    write(table)


def write(table: dict[str, Any]) -> None:
    """Write the counts, a line each."""
    lines = (f'"{key}": {json.dumps(table[key])}' for key in sorted(table))
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
