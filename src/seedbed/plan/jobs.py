"""The jobs of a plan, as a dry run hands them to `status`, `cost` and the simulation of schedules."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from seedbed.errors import ParameterError, UserError
from seedbed.io.atomic import read_json, write_json


def generic_resource(name: object) -> str:
    """A name by which a Slurm site counts its GPUs (``--gres``), checked; UserError if it cannot be one."""
    if not re.fullmatch(r"gpu(:[A-Za-z_][\w.]*)?", str(name)):
        raise ParameterError(
            f"gres: '{name}' must be 'gpu', or name and type such as 'gpu:a100'; "
            "the number of GPUs is each rule's own (params.yaml, presets.*.resources)."
        )
    return str(name)


class Room(NamedTuple):
    """Bytes that a job adds to a data set's ``kind``: ``fetched``, ``unpacked`` or ``made``; None: not known."""

    dataset: str
    kind: str
    size: float | None


@dataclass(frozen=True)
class PlannedJob:
    """One job of a plan.

    Attributes:
        id: number within the plan.
        rule: name of its rule.
        output: its first output, or its rule's name if it has none.
        needed: whether a run would start it.
        started: when it was started, in seconds since the epoch, if it is marked as unfinished; else None.
        waits_for: ids of the jobs whose outputs it reads.
        threads: cores it takes.
        gpu: GPUs it takes.
        minutes: the limit that its rule declares.
        benchmark: where its record lies, or None if it keeps none.
        wildcards: names in its output's path.
        room: what it adds on disk.
        seconds: forecast of what it takes, or None.
    """

    id: int
    rule: str
    output: str
    needed: bool
    started: float | None
    waits_for: tuple[int, ...]
    threads: int
    gpu: int
    minutes: float
    benchmark: str | None
    wildcards: Mapping[str, str] = field(default_factory=dict)
    room: tuple[Room, ...] = ()
    seconds: float | None = None


def write_plan(path: str | Path, jobs: Iterable[PlannedJob]) -> None:
    """Write a plan: every job, each after those that it waits for."""
    write_json(path, [asdict(job) for job in jobs])


def read_plan(path: str | Path) -> list[PlannedJob]:
    """Read a plan that ``snakemake -n --config plan=PATH`` wrote.

    Raises:
        UserError: the file is missing or is no plan.
    """
    try:
        return [_job(job) for job in read_json(path)]
    except (TypeError, KeyError):
        raise UserError(
            f"{path}: is no plan of this version. Write it again: snakemake -n --config plan={path}"
        ) from None


def _job(values: Mapping[str, Any]) -> PlannedJob:
    room = tuple(Room(*each) for each in values["room"])
    return PlannedJob(**{**values, "waits_for": tuple(values["waits_for"]), "room": room})
