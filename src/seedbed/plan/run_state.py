"""What a run is doing, as a few lines of text: stages, jobs done of all, time left, and the latest number."""

import json
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seedbed.plan.forecasts.time_left import TimeLeft
from seedbed.plan.jobs import PlannedJob
from seedbed.plan.status import spell

ASK_AGAIN = 5.0
"""Seconds for which a forecast stands, but for the clock; longer where thousands of jobs make it slow."""
SHARE = 0.02
"""Largest share of the time that forecasts may take."""
BAR = 24


class Number(NamedTuple):
    """A number of a table: where it stands, its key in its file of metrics, and whether it is shown in per cent."""

    label: str
    metric: str
    percent: bool

    def read(self, path: str | Path) -> str | None:
        """The number with its label; None where the file does not have it."""
        try:
            value = json.loads(Path(path).read_text())[self.metric]
            shown = f"{100 * value:.1f} %" if self.percent else f"{value:.4g}"
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return f"{self.label} {shown}"


@dataclass(frozen=True)
class RunPlan:
    """What is known of a run before its first job.

    Attributes:
        jobs: every job of the plan, done ones included, each after those that it waits for.
        stages: rule -> the stage it belongs to, in the order data flows.
        numbers: file of metrics -> the number of a table that it holds.
        cores: cores of the run; None on a cluster, whose time nobody can foretell.
        gpus: GPUs of the run.
    """

    jobs: Sequence[PlannedJob]
    stages: Mapping[str, str]
    numbers: Mapping[str, Number]
    cores: int | None
    gpus: int


class RunState:
    """A run at work.

    Args:
        plan: what it is to do.
        now: the time, in seconds of any clock that does not go back.
    """

    def __init__(self, plan: RunPlan, now: float) -> None:
        self.plan, self.began = plan, now
        work = [job for job in plan.jobs if job.needed and job.output != job.rule]  # targets do nothing
        self._by_output = {job.output: job for job in work}
        self._running: dict[int, tuple[float, PlannedJob, Sequence[str], str]] = {}
        self._ended: set[int] = set()
        self._failed: set[int] = set()
        self.latest: str | None = None
        order = list(dict.fromkeys(plan.stages.values()))
        found = Counter(self._stage(job) for job in work)
        self._totals = {stage: found[stage] for stage in [*order, *sorted(found.keys() - set(order))] if found[stage]}
        self._done: Counter[str] = Counter()
        self._forecast = TimeLeft(plan.jobs, plan.cores, plan.gpus) if plan.cores else None
        self._left: tuple[float, float | None] | None = None
        self._pause = ASK_AGAIN

    @property
    def total(self) -> int:
        """Jobs of this run that do work."""
        return len(self._by_output)

    @property
    def done(self) -> int:
        """How many of them have ended well."""
        return len(self._ended)

    def start(self, number: int, outputs: Sequence[str], message: str, now: float) -> None:
        """A job starts: Snakemake's number of it, its outputs, and what it does in words."""
        job = next((self._by_output[path] for path in outputs if path in self._by_output), None)
        self._failed.discard(number)  # another attempt
        if job is not None:
            self._running[number] = (now, job, outputs, message)

    def finish(self, number: int, now: float) -> str | None:
        """A job has ended well; returns what it did, with the number that it gave, or None for a target."""
        if number not in self._running:
            return None
        since, job, outputs, message = self._running.pop(number)
        self._ended.add(job.id)
        self._done[self._stage(job)] += 1
        if self._forecast:
            self._forecast.learn(job, now - since)
        found = [self.plan.numbers[path].read(path) for path in outputs if path in self.plan.numbers]
        fresh = next((text for text in found if text), None)
        self.latest = fresh or self.latest
        return f"{message}: {fresh}" if fresh else message

    def fail(self, number: int) -> None:
        """A job has failed."""
        self._running.pop(number, None)
        self._failed.add(number)

    def seconds_left(self, now: float) -> float | None:
        """The forecast, which runs down between two looks; None where there is none."""
        if self._forecast is None:
            return None
        if self.done == self.total:
            return 0.0
        if self._left is None or self._left[1] is None or now - self._left[0] >= self._pause:
            began = time.perf_counter()
            running = {job.id: now - since for since, job, _, _ in self._running.values()}
            self._left = now, self._forecast.left(self._ended, running)
            self._pause = max(ASK_AGAIN, (time.perf_counter() - began) / SHARE)
        at, seconds = self._left
        return None if seconds is None else max(0.0, seconds - (now - at))

    def result(self, now: float) -> str:
        """How far the run came, and in which time."""
        return f"{self._counted()}, in {spell(now - self.began)}"

    def summary(self, now: float) -> str:
        """Jobs done of all and time left."""
        left = self.seconds_left(now)
        if left is not None:
            return f"{self._counted()}, about {spell(left)} left"
        later = "" if self._forecast is None else "; time left: known once the first have ended"
        return f"{self._counted()}, {spell(now - self.began)} so far{later}"

    def _counted(self) -> str:
        failed = f", {len(self._failed)} failed" if self._failed else ""
        return f"{self.done} of {self.total} jobs done{failed}"

    def lines(self, width: int, now: float) -> list[str]:
        """The display; as many lines at any moment, each at most ``width`` characters."""
        share = self.done / self.total if self.total else 1.0
        bar = "█" * round(BAR * share) + "░" * (BAR - round(BAR * share))
        stages = "  ".join(
            f"{stage}\u00a0{self._done[stage]:>{len(str(total))}}/{total}" for stage, total in self._totals.items()
        )
        running = ", ".join(message for _, _, _, message in self._running.values()) or "-"
        shown = [
            f"{bar}  {self.summary(now)}",
            *textwrap.wrap(stages, width, break_on_hyphens=False),
            f"now     {running}",
            f"latest  {self.latest or 'no number of a table yet'}",
        ]
        return [line if len(line) <= width else f"{line[: width - 1]}…" for line in shown]

    def _stage(self, job: PlannedJob) -> str:
        return self.plan.stages.get(job.rule, job.rule)
