"""How long a run that is at work still takes, from records of earlier runs and of its own jobs that have ended."""

from collections.abc import Collection, Mapping, Sequence
from statistics import median

from seedbed.plan.forecasts.simulation import Durations, length, simulate
from seedbed.plan.jobs import PlannedJob

OVERDUE = 0.2
"""What a job still takes that takes longer than was expected, as a share of what it has taken."""


class TimeLeft:
    """Time left of a run on one machine.

    Declared runtimes are upper bounds, often by far. A rule without a record or a forecast is taken to use the share of
    its own that rules with records use of theirs, the median over rules; without any record nobody knows.

    Args:
        jobs: the whole plan, jobs that need not run included, for their records.
        cores: cores of the run, at least 1.
        gpus: GPUs of the run; with 0 jobs run without.
    """

    def __init__(self, jobs: Sequence[PlannedJob], cores: int, gpus: int) -> None:
        self.jobs, self.cores, self.gpus = [job for job in jobs if job.benchmark], cores, gpus
        self.durations = Durations(self.jobs)

    def learn(self, job: PlannedJob, seconds: float) -> None:
        """Take in what a job took that has just ended, its start and all."""
        self.durations.learn(job, seconds)

    def left(self, ended: Collection[int], running: Mapping[int, float]) -> float | None:
        """Seconds until the last job ends; None where nothing is known yet.

        Args:
            ended: ids of the jobs that have ended in this run.
            running: id of a job that runs -> for how many seconds it has.
        """
        left = [job for job in self.jobs if job.needed and job.id not in ended]
        share = self._share_of_the_declared()
        if share is None and any(self.durations.limited(job) for job in left):
            return None
        seconds = {}
        for job in left:
            limited = self.durations.limited(job)
            expected = 60.0 * job.minutes * (share or 1.0) if limited else self.durations.seconds(job)
            elapsed = running.get(job.id, 0.0)
            seconds[job.id] = max(expected - elapsed, OVERDUE * elapsed)
        return length(simulate(left, seconds, self.cores, self.gpus))

    def _share_of_the_declared(self) -> float | None:
        """What rules with records take of what they declare, the median over rules; None without any record."""
        of_rule: dict[str, float] = {}
        for job in self.jobs:
            if job.rule not in of_rule and job.minutes and self.durations.measured(job):
                of_rule[job.rule] = self.durations.mean(job.rule) / (60.0 * job.minutes)
        return median(of_rule.values()) if of_rule else None
