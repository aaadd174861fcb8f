"""The state of a run in the terminal: what is done, running and left, and how long that takes."""

import time
from collections import defaultdict
from collections.abc import Sequence

from seedbed.plan.forecasts.simulation import Durations, length, simulate
from seedbed.plan.jobs import PlannedJob


def lines_of_status(
    jobs: Sequence[PlannedJob], cores: int, gpus: int, at_work: bool, now: float | None = None
) -> list[str]:
    """Describe a plan: a line a rule, then the sum, what runs, and the time left on this machine.

    Args:
        jobs: the target's whole plan.
        cores: cores of the machine, at least 1.
        gpus: GPUs of the machine; with 0 jobs run without.
        at_work: whether a run is alive, so that jobs marked as unfinished are running and not left from a killed one.
        now: the time, in seconds since the epoch; the clock's, if not given.
    """
    now = time.time() if now is None else now
    jobs = [job for job in jobs if job.benchmark]  # targets do no work
    durations = Durations(jobs)
    left = [job for job in jobs if job.needed]
    since = {job.id: job.started for job in left if at_work and job.started is not None}
    running = [job for job in left if job.id in since]
    seconds = {job.id: durations.seconds(job) for job in left}
    for job in running:
        seconds[job.id] = max(0.0, seconds[job.id] - max(0.0, now - since[job.id]))

    by_rule = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    lines = [_line("stage", "done", "running", "left", "work left")]
    for rule, members in by_rule.items():
        lines.append(_counts(rule, members, running, seconds, durations))
    lines.append(_counts("all", jobs, running, seconds, durations))

    lines += [f"running for {spell(now - since[job.id])}: {job.rule} {job.output}" for job in running]
    interrupted = [job for job in left if job.started is not None and not at_work]
    lines += [f"interrupted: {job.rule} {job.output}" for job in interrupted]
    if not left:
        return [*lines, "Everything is done."]
    machine = f"{cores} cores" + (f" and {gpus} GPUs" if gpus else "")
    lines.append(f"About {spell(length(simulate(left, seconds, cores, gpus)))} left on {machine}.")
    forecast = {job.rule for job in left if not durations.measured(job) and not durations.limited(job)}
    limited = {job.rule for job in left if durations.limited(job)}
    if forecast:
        lines.append(f"~ no record yet, so the forecast counts: {', '.join(sorted(forecast))}")
    if limited:
        lines.append(f"~ neither record nor forecast, so the declared limit counts: {', '.join(sorted(limited))}")
    return lines


def _counts(
    name: str,
    members: Sequence[PlannedJob],
    running: Sequence[PlannedJob],
    seconds: dict[int, float],
    durations: Durations,
) -> str:
    left = [job for job in members if job.needed]
    at_work = sum(job in running for job in members)
    mark = "~" if any(not durations.measured(job) for job in left) else ""
    work = mark + spell(sum(seconds[job.id] for job in left)) if left else ""
    return _line(name, len(members) - len(left), at_work or "", len(left) - at_work or "", work)


def _line(name: object, done: object, running: object, left: object, work: object) -> str:
    return f"{name!s:<28}{done!s:>6}{running!s:>9}{left!s:>6}{work!s:>12}".rstrip()


def spell(seconds: float) -> str:
    """A duration in its largest unit, as ``45 s``, ``12 min`` or ``3.5 h``."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
