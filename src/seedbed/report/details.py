"""What stands behind a cell: its files and the commands that make them, its chain, the parameters that differ."""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seedbed.papers.plan import Cell
from seedbed.report.filled_tables import Value

CHAIN = ("stage", "dataset", "split", "subset", "model", "explainer", "refiner", "segmenter", "metric")
"""Keys of a measurement in the order in which they are shown."""
ABSENT = "–"
"""What stands for a parameter that a row's chain does not have."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Source:
    """One file of a cell: its path, its number in the column's unit, and the command that makes it (or empty)."""

    path: str
    number: float
    command: str


class Differing(NamedTuple):
    """A parameter: its dotted name, its value in one row, and those of the other rows, as JSON."""

    name: str
    here: str
    elsewhere: tuple[str, ...]


@dataclass(frozen=True)
class Behind:
    """What stands behind a measured cell.

    Attributes:
        names: the chain, as (key, name).
        sources: its files, one a seed.
        differing: parameters in which the table's rows differ.
        over_seeds: 95 % interval of the mean over seeds, in the column's unit, or None.
        over_images: 95 % interval over images of the first seed's number, in the column's unit, or None.
    """

    names: Sequence[tuple[str, str]]
    sources: Sequence[Source]
    differing: Sequence[Differing]
    over_seeds: Interval | None
    over_images: Interval | None


def behind_cell(
    value: Value,
    scale: float,
    read: Callable[[str], Mapping[str, Any]],
    *,
    command: str = "",
    differing: Sequence[Differing] = (),
    over_images: Interval | None = None,
) -> Behind:
    """Collect what stands behind a measured cell.

    Args:
        value: the cell.
        scale: of the column's unit, 100 for percent.
        read: reads a metrics file.
        command: what makes a file when its path is put behind it; nothing is shown where it is empty.
        differing: see `differing_parameters`.
        over_images: an interval of the first seed's number as a fraction, or None.
    """
    cell: Cell = value.cell
    names = cell.measured.names()
    numbers = [_number(read(path).get(cell.measured.metric)) * scale for path in cell.sources]
    return Behind(
        [(key, names[key]) for key in CHAIN if key in names],
        [
            Source(path, number, f"{command} {path}" if command else "")
            for path, number in zip(cell.sources, numbers, strict=True)
        ],
        differing,
        interval_over_seeds(numbers),
        None if over_images is None else (over_images[0] * scale, over_images[1] * scale),
    )


def interval_over_seeds(numbers: Sequence[float]) -> Interval | None:
    """95 % interval of the mean by Student's t; None for one number or an undefined one."""
    if len(numbers) < 2 or any(map(math.isnan, numbers)):
        return None
    from scipy.stats import t  # heavy, and most tables have one seed

    half = float(t.ppf(0.975, len(numbers) - 1)) * statistics.stdev(numbers) / math.sqrt(len(numbers))
    return statistics.fmean(numbers) - half, statistics.fmean(numbers) + half


def differing_parameters(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Differing]]:
    """Row -> the parameters that another row has otherwise or not at all.

    Args:
        settings: row -> its parameters, nested.
    """
    flat = {row: dict(_flattened(values)) for row, values in settings.items()}
    names = list(dict.fromkeys(name for values in flat.values() for name in values))
    differing = [name for name in names if len({values.get(name) for values in flat.values()}) > 1]
    return {
        row: [
            Differing(
                name,
                values.get(name, ABSENT),
                tuple(dict.fromkeys(other.get(name, ABSENT) for key, other in flat.items() if key != row)),
            )
            for name in differing
        ]
        for row, values in flat.items()
    }


def _flattened(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested parameters as (dotted name, JSON); what depends on the chain's names alone is left out."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            found += _flattened(value, f"{name}.")
        else:
            found.append((name, json.dumps(value)))
    return found


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
