"""Strong scaling by simulation: how busy a plan keeps four GPUs; prints the schedules and a Markdown table.

The jobs, what each waits for and how many cores and GPUs it takes come from a dry run of the published setting from
nothing; durations from benchmark records where `--records` has them, else from the forecast of
`snakemake cost`.
GPUs are counted from the first GPU job to the start of the last stage: the last rule whose jobs take GPUs. A plan's
second line gives every training all GPUs. A training on n GPUs is assumed to take 1 / (n x efficiency) of its time on
one. A GPU is in use while a job holds it.

python benchmarks/schedule.py
python benchmarks/schedule.py --gpus 8 --cores 64 --targets exvit_table1 --records /path/to/results/paper/benchmarks
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seedbed.papers import read_papers
from seedbed.plan.forecasts.simulation import Durations, Slot, gpu_use, length, simulate
from seedbed.plan.jobs import PlannedJob, read_plan

REPOSITORY = Path(__file__).resolve().parents[1]
WIDTH = 72
PLANNING_SECONDS = 1800  # at most; a busy machine plans slowly


def plan_of(
    targets: Sequence[str], folder: Path, config: Sequence[str], cores: int | str = "all"
) -> list[PlannedJob] | None:
    """The plan of some targets from nothing, or None if the preset does not build them."""
    path = folder / "plan.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--cores", str(cores), "--config", "preset=paper", f"plan={path}", *config]
    planned = subprocess.run(
        [*command, "--", *targets], capture_output=True, text=True, check=False, timeout=PLANNING_SECONDS
    )
    if planned.returncode and "is not built in preset" in planned.stdout + planned.stderr:
        return None
    if planned.returncode:
        sys.exit(planned.stdout + planned.stderr)
    return read_plan(path)


def with_records(jobs: Sequence[PlannedJob], records: Path | None) -> list[PlannedJob]:
    """The plan with its benchmark records in another folder."""
    if records is None:
        return list(jobs)
    moved = (str(records / job.benchmark.split("/benchmarks/", 1)[-1]) if job.benchmark else None for job in jobs)
    return [replace(job, benchmark=path) for job, path in zip(jobs, moved, strict=True)]


def prepared(job: PlannedJob) -> bool:
    """Whether a job fetches or prepares data or weights: done once for all tables, and no work for GPUs."""
    return job.rule in ("fetch_source", "unpack_source", "prepare_dataset", "fetch_timm_weights", "convert_weights")


def until_last_stage(slots: Sequence[Slot], gpus: int) -> float:
    """Share of the GPUs' time in use from the first GPU job until the last stage starts.

    Where jobs of the last stage run from the begin, as nothing comes before some of them: until its last job starts.
    """
    on_gpus = [slot for slot in slots if slot.job.gpu]
    last = max(on_gpus, key=lambda slot: slot.end).job.rule
    begin, starts = min(slot.start for slot in on_gpus), [slot.start for slot in on_gpus if slot.job.rule == last]
    end = min(starts) if min(starts) > begin else max(starts)
    moved = [replace(slot, start=slot.start - begin, end=slot.end - begin) for slot in slots]
    return gpu_use(moved, gpus, end - begin)


def chart(slots: Sequence[Slot]) -> list[str]:
    """A line a rule: when its jobs run, one column an equal part of the whole."""
    whole = length(slots)
    lines = []
    for rule in dict.fromkeys(slot.job.rule for slot in slots if slot.end > slot.start):
        own = [slot for slot in slots if slot.job.rule == rule]
        counts = [
            sum(slot.start < (column + 1) * whole / WIDTH and slot.end > column * whole / WIDTH for slot in own)
            for column in range(WIDTH)
        ]
        bars = "".join("." if not count else str(count) if count < 10 else "+" for count in counts)
        lines.append(f"  {rule:<24}{bars}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, default=4)
    parser.add_argument("--cores", type=int, default=32)
    parser.add_argument("--efficiency", type=float, default=0.85, help="of a training on all GPUs, by assumption")
    parser.add_argument("--records", type=Path, help="folder of benchmark records of the published setting")
    parser.add_argument("--targets", nargs="*", help="targets to plan; each paper's tables together if not given")
    parser.add_argument("--config", nargs="*", default=[], help="overrides, as for snakemake")
    asked = parser.parse_args()
    papers = read_papers(REPOSITORY / "papers").values()
    every = {paper.id: [f"{paper.id}_{table.id}" for table in paper.tables] for paper in papers}
    plans = {name: [name] for name in asked.targets} if asked.targets else {**every, "all_tables": ["all_tables"]}
    print(f"Jobs that run at once (a digit; + is more than 9), {asked.gpus} GPUs and {asked.cores} cores.\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, targets in plans.items():
            built = [each for each in targets if plan_of([each], Path(folder), asked.config, asked.cores) is not None]
            if not built:
                print(f"{name}: not built in preset paper.\n")
                continue
            jobs = with_records(plan_of(built, Path(folder), asked.config, asked.cores), asked.records)
            jobs = [job for job in jobs if not prepared(job)]
            if any(job.gpu for job in jobs):
                rows += compared(f"{name} ({len(built)} targets)", jobs, asked)
    print("| plan | training on | jobs | GPU-h | on 1 GPU | hours | speed-up | GPUs in use until the last stage |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


def compared(name: str, jobs: Sequence[PlannedJob], asked: argparse.Namespace) -> list[str]:
    """Print the schedules of a plan, trainings on one GPU and on all, and return the table's lines."""
    durations = Durations(jobs)
    seconds = {job.id: durations.seconds(job) for job in jobs}
    measured = sum(durations.measured(job) for job in jobs if job.benchmark)
    single = {job.id: seconds[job.id] * speed_up(job, asked.efficiency) for job in jobs}
    alone = length(simulate([replace(job, gpu=min(job.gpu, 1)) for job in jobs], single, asked.cores, 1))
    rows = []
    for wide in (False, True):
        spread = [replace(job, gpu=asked.gpus if wide and trains(job) else min(job.gpu, asked.gpus)) for job in jobs]
        scaled = {job.id: single[job.id] / speed_up(job, asked.efficiency) for job in spread}
        slots = simulate(spread, scaled, asked.cores, asked.gpus)
        on = f"{asked.gpus} GPUs" if wide else "as many GPUs as declared"
        print(f"{name}, trainings on {on}; {measured} of {len(jobs)} jobs with records")
        print("\n".join(chart(slots)), end="\n\n")
        used = until_last_stage(slots, asked.gpus)
        work = sum(scaled[job.id] * job.gpu for job in spread) / 3600
        hours = length(slots) / 3600
        rows.append(
            f"| {name} | {on} | {len(jobs)} | {work:.0f} | {alone / 3600:.1f} h | {hours:.1f} "
            f"| {alone / 3600 / hours:.2f} | {used:.0%} |"
        )
    return rows


def speed_up(job: PlannedJob, efficiency: float) -> float:
    """How many times as fast as on one GPU a job is on those it takes."""
    return job.gpu * efficiency if trains(job) and job.gpu > 1 else 1.0


def trains(job: PlannedJob) -> bool:
    """Whether a job trains a network."""
    return job.rule.startswith("train_")


if __name__ == "__main__":
    main()
