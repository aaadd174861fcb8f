"""What a run would cost before it starts: jobs, hours of cores and GPUs, wall time, room on disk."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seedbed.plan.forecasts.simulation import Durations, length, longest_chain, simulate
from seedbed.plan.jobs import PlannedJob, Room

GIGABYTE = 1e9


class Machine(NamedTuple):
    """What a run is given.

    Attributes:
        cores, gpus: of the machine; with 0 GPUs jobs run without.
        rates: whose speed the forecast assumes, in words.
    """

    cores: int
    gpus: int
    rates: str


def cost_lines(jobs: Iterable[PlannedJob], machine: Machine) -> list[str]:
    """The cost sheet of the jobs that a run would start: a line a rule, then a line a data set; empty without jobs."""
    every = list(jobs)
    durations = Durations(every)
    needed = [job for job in every if job.needed]
    if not needed:
        return []
    by_rule: defaultdict[str, list[PlannedJob]] = defaultdict(list)
    for job in needed:
        by_rule[job.rule].append(job)
    gpu_hours = {rule: sum(durations.seconds(job) * job.gpu for job in found) for rule, found in by_rule.items()}
    lines = [f"{'forecast, held':28}{'jobs':>8}{'core-hours':>13}{'GPU-hours':>12}{'limit, GPU-hours':>19}"]
    for rule in sorted(by_rule, key=lambda rule: (-gpu_hours[rule], rule)):
        lines.append(_hours(rule, by_rule[rule], durations))
    lines.append(_hours("all", needed, durations))
    return [*lines, *_time(needed, durations, machine), *_disk([room for job in needed for room in job.room])]


def _time(needed: Sequence[PlannedJob], durations: Durations, machine: Machine) -> list[str]:
    """How long it takes on the machine, and where the numbers are from."""
    seconds = {job.id: durations.seconds(job) for job in needed}
    gpus = machine.gpus or int(any(job.gpu for job in needed))
    schedule = length(simulate(needed, seconds, machine.cores, gpus))
    where = f"{machine.cores} cores" + (f" and {gpus} GPU{'s' * (gpus > 1)}" if gpus else "")
    chain = longest_chain(needed, seconds) / 3600
    lines = [f"About {schedule / 3600:.1f} h on {where}; {chain:.1f} h with as many as one wants (the longest chain)."]
    if any(job.gpu for job in needed):
        lines.append(machine.rates)
    measured = sorted({job.rule for job in needed if durations.measured(job)})
    unknown = sorted({job.rule for job in needed if durations.limited(job)})
    if measured:
        lines.append(f"By benchmark records: {', '.join(measured)}.")
    if unknown:
        lines.append(f"No forecast, so the limit counts: {', '.join(unknown)}.")
    return [*lines, "Limits are what Slurm and other schedulers are told (params.yaml, presets.*.resources)."]


def _disk(rooms: Iterable[Room]) -> list[str]:
    sizes: defaultdict[tuple[str, str], float] = defaultdict(float)
    unknown: Counter[str] = Counter()
    for dataset, kind, size in rooms:
        sizes[dataset, kind] += size or 0
        unknown[dataset] += size is None and kind == "fetched"
    if not sizes:
        return []
    found = ["", f"{'disk, about':28}{'to fetch':>12}{'unpacked':>12}{'made':>12}"]
    names = sorted({dataset for dataset, _ in sizes})
    for name in names:
        more = unknown[name]
        note = f"  and {more} file{'s' * (more > 1)} of unpublished size" if more else ""
        found.append(_sizes(name, [sizes[name, kind] for kind in ("fetched", "unpacked", "made")]) + note)
    totals = [sum(sizes[name, kind] for name in names) for kind in ("fetched", "unpacked", "made")]
    found.append(_sizes("all", totals))
    return [*found, "Archives stay beside what is unpacked; a training run holds three times its network besides."]


def _hours(name: str, jobs: Sequence[PlannedJob], durations: Durations) -> str:
    core, gpu = (sum(durations.seconds(job) * getattr(job, what) for job in jobs) for what in ("threads", "gpu"))
    limit = sum(60 * job.minutes * job.gpu for job in jobs)
    hours = f"{core / 3600:>13.1f}{gpu / 3600:>12.1f}{limit / 3600:>19.1f}"
    return f"{name:28}{len(jobs):>8}{hours}"


def _sizes(name: str, sizes: list[float]) -> str:
    return f"{name:28}" + "".join(f"{size / GIGABYTE:>9.1f} GB" for size in sizes)
