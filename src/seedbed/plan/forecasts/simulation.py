"""Jobs that wait for each other: how long they take, by record or by declaration, and on how many cores and GPUs."""

import csv
import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from seedbed.plan.jobs import PlannedJob


def recorded_seconds(path: str | Path) -> float | None:
    """Mean wall time of a benchmark record, or None if there is none yet or it was cut off."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            times = [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return fmean(times) if times else None


class Durations:
    """What jobs take: a job's own record; else its forecast, corrected by the records of its rule; else, without a
    forecast, the mean of those records; else the limit that its rule declares."""

    def __init__(self, jobs: Iterable[PlannedJob]) -> None:
        self._own: dict[int, float] = {}
        self._records: defaultdict[str, dict[int, tuple[float, float | None]]] = defaultdict(dict)
        self._corrections: dict[str, float | None] = {}
        for job in jobs:
            self.learn(job)

    def learn(self, job: PlannedJob, seconds: float | None = None) -> None:
        """Take in what a job took, by its record where no seconds are given."""
        if seconds is None and job.benchmark:
            seconds = recorded_seconds(job.benchmark)
        if seconds is not None:
            self._own[job.id] = seconds
            self._records[job.rule][job.id] = seconds, job.seconds
            self._corrections.pop(job.rule, None)

    def mean(self, rule: str) -> float:
        """Mean record of a rule that has one, in seconds."""
        return fmean(seconds for seconds, _ in self._records[rule].values())

    def _correction(self, rule: str) -> float | None:
        """Recorded over forecast time of a rule's jobs; None where none of them has both."""
        if rule not in self._corrections:
            both = [pair for pair in self._records[rule].values() if pair[1]] if rule in self._records else []
            forecast = sum(seconds or 0.0 for _, seconds in both)
            self._corrections[rule] = sum(own for own, _ in both) / forecast if both else None
        return self._corrections[rule]

    def measured(self, job: PlannedJob) -> bool:
        """Whether a record, its own or of its rule, is behind the number."""
        return job.rule in self._records

    def limited(self, job: PlannedJob) -> bool:
        """Whether the declared limit is all that is known."""
        return bool(job.benchmark) and not self.measured(job) and job.seconds is None

    def seconds(self, job: PlannedJob) -> float:
        """Seconds that the job takes, or took."""
        if not job.benchmark:
            return 0.0  # targets do nothing
        if job.id in self._own:
            return self._own[job.id]
        correction = self._correction(job.rule)
        if job.seconds is not None and (correction is not None or not self.measured(job)):
            return job.seconds * (1.0 if correction is None else correction)
        return self.mean(job.rule) if self.measured(job) else 60.0 * job.minutes


@dataclass(frozen=True)
class Slot:
    """A job in a schedule: its start and end, in seconds from the schedule's begin."""

    job: PlannedJob
    start: float
    end: float


def simulate(jobs: Sequence[PlannedJob], seconds: Mapping[int, float], cores: int, gpus: int) -> list[Slot]:
    """Run ``jobs`` as a greedy scheduler would, in their order whenever cores and GPUs are free; returns them by start.

    A job that asks for more than the machine has takes all of it, as Snakemake does with threads. Jobs that are waited
    for but are not among ``jobs`` count as done.

    Args:
        jobs: jobs in order of preference; ids are unique.
        seconds: duration of each job, by id.
        cores: cores of the machine, at least 1.
        gpus: GPUs of the machine; with 0 jobs run without.

    Raises:
        ValueError: jobs wait for each other in a circle.
    """
    known = {job.id: (place, job) for place, job in enumerate(jobs)}
    waiting = {job.id: {other for other in job.waits_for if other in known} for job in jobs}
    followers = defaultdict(list)
    for job in jobs:
        for other in waiting[job.id]:
            followers[other].append(job.id)
    ready = sorted(known[key] for key, others in waiting.items() if not others)
    running: list[tuple[float, int]] = []
    free_cores, free_gpus, now, slots = cores, gpus, 0.0, []

    while ready or running:
        late = []
        for at, (place, job) in enumerate(ready):
            if not free_cores:  # each job takes one at least
                late += ready[at:]
                break
            wanted = min(job.threads, cores), min(job.gpu, gpus)
            if wanted[0] <= free_cores and wanted[1] <= free_gpus:
                free_cores, free_gpus = free_cores - wanted[0], free_gpus - wanted[1]
                end = now + seconds[job.id]
                slots.append(Slot(job, now, end))
                heapq.heappush(running, (end, job.id))
            else:
                late.append((place, job))
        ready = late
        now = running[0][0]
        while running and running[0][0] <= now:
            _, key = heapq.heappop(running)
            done = known[key][1]
            free_cores, free_gpus = free_cores + min(done.threads, cores), free_gpus + min(done.gpu, gpus)
            for follower in followers[key]:
                waiting[follower].discard(key)
                if not waiting[follower]:
                    insort(ready, known[follower], key=lambda item: item[0])
    if len(slots) < len(jobs):
        raise ValueError("jobs wait for each other in a circle")
    return slots


def length(slots: Iterable[Slot]) -> float:
    """When the last job of a schedule ends, in seconds; 0 without jobs."""
    return max((slot.end for slot in slots), default=0.0)


def longest_chain(jobs: Iterable[PlannedJob], seconds: Mapping[int, float]) -> float:
    """Seconds of the longest chain of jobs that wait for each other; each job stands after those it waits for."""
    ends: dict[int, float] = {}
    for job in jobs:
        ends[job.id] = seconds[job.id] + max((ends.get(other, 0.0) for other in job.waits_for), default=0.0)
    return max(ends.values(), default=0.0)


def gpu_use(slots: Iterable[Slot], gpus: int, until: float) -> float:
    """Share of the GPUs' time, from the begin until a moment in seconds, in which jobs hold them; 0..1."""
    if until <= 0 or gpus <= 0:
        return 0.0
    held = sum(min(slot.job.gpu, gpus) * max(0.0, min(slot.end, until) - slot.start) for slot in slots)
    return held / (gpus * until)
