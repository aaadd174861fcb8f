"""A table with the paper's number and the measured one side by side."""

import csv
import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed.errors import UserError
from seedbed.papers.plan import CITED, MEASURED, NOTHING, Cell
from seedbed.papers.tables import UNITS, Table


@dataclass(frozen=True)
class Value:
    """A filled cell; numbers are in the column's unit.

    ``mean`` is None unless the cell is measured, and NaN where a seed's number is undefined; ``std``, the sample
    standard deviation, needs two seeds.
    """

    cell: Cell
    mean: float | None = None
    std: float | None = None

    @property
    def difference(self) -> float | None:
        """Measured minus reported, where both exist."""
        return None if self.mean is None or self.cell.reported is None else self.mean - self.cell.reported


def fill_table(table: Table, cells: Sequence[Cell], read: Callable[[str], Mapping[str, Any]]) -> list[Value]:
    """Compute every cell from its metrics files, which ``read`` reads.

    Raises:
        UserError: a metrics file lacks the key that the table needs.
    """
    scales = {column.id: UNITS[column.unit] for column in table.columns}
    return [_fill(cell, scales[cell.column], read) for cell in cells]


def _fill(cell: Cell, scale: float, read: Callable[[str], Mapping[str, Any]]) -> Value:
    if cell.status != MEASURED:
        return Value(cell)
    numbers = [scale * _number(read(path), cell.measured.metric, path) for path in cell.sources]
    mean = statistics.fmean(numbers)
    spread = len(numbers) > 1 and not math.isnan(mean)
    return Value(cell, mean, statistics.stdev(numbers) if spread else None)


def _number(metrics: Mapping[str, Any], key: str, path: str) -> float:
    if key not in metrics:
        raise UserError(f"{path}: has no metric '{key}'; it has {', '.join(sorted(metrics))}.")
    return math.nan if metrics[key] is None else float(metrics[key])


def to_csv(table: Table, values: list[Value]) -> str:
    """One line a cell: what it shows, the paper's number, the measured one, the files it comes from, or a forecast."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ["reported", "measured", "std", "difference"]
    titles = ["row", "label", "supervision", "column", "unit", "status", *numbers, "seeds", "sources"]
    told = any(value.cell.hours is not None for value in values)
    writer.writerow([*titles, "forecast"] if told else titles)
    units = {column.id: column.unit for column in table.columns}
    rows = {row.id: row for row in table.rows}
    for value in values:
        cell, row = value.cell, rows[value.cell.row]
        head = [cell.row, row.label, row.supervision or "", cell.column, units[cell.column], cell.status]
        numbers = [_plain(number) for number in (cell.reported, value.mean, value.std, value.difference)]
        files = [len(cell.sources) or "", " ".join(cell.sources)]
        writer.writerow([*head, *numbers, *files, *([_plain(cell.hours)] if told else [])])
    return text.getvalue()


def to_metrics(values: list[Value]) -> dict[str, Any]:
    """Measured numbers as nested plain values, row by row, for ``dvc metrics`` and for trackers."""
    measured: dict[str, Any] = {}
    for value in values:
        if value.mean is not None:
            number = None if math.isnan(value.mean) else round(value.mean, 6)
            measured.setdefault(value.cell.row, {})[value.cell.column] = number
    return measured


def to_markdown(table: Table, values: list[Value], footnotes: list[str]) -> str:
    """The table as GitHub Markdown: each cell shows the paper's number, then the measured one and the difference."""
    by_cell = {(value.cell.row, value.cell.column): value for value in values}
    supervised = ["Sup."] if table.measures_segmentation else []
    heads = ["Method", *supervised, *(f"{_escape(column.title)} ({column.unit})" for column in table.columns)]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(supervised) + " ---: |" * len(table.columns)]
    for row in table.rows:
        cells = [show(by_cell[row.id, column.id], decimals(table, column.id)) for column in table.columns]
        learnt_from = [row.supervision or ""] if supervised else []
        lines.append("| " + " | ".join([_escape(row.label), *learnt_from, *cells]) + " |")
    notes = "".join(f"\n- {note}" for note in footnotes)
    return f"**{table.title}**\n\n" + "\n".join(lines) + f"\n{notes}\n"


def show(value: Value, places: int) -> str:
    """A cell as text: ``paper -> measured (difference)``, or its status."""
    reported = value.cell.reported
    paper = "-" if reported is None else f"{reported:.{places}f}"
    if value.cell.status == CITED:
        return f"{paper} (cited)"
    if value.cell.status == NOTHING:
        return paper
    if value.cell.hours is not None:
        return f"{paper} → {value.cell.hours:.{places}f} (forecast)"
    if value.mean is None:
        return f"{paper} → {value.cell.status}"
    difference = value.difference
    change = "" if difference is None or math.isnan(difference) else f" ({difference:+.{places}f})"
    return f"{paper} → {show_measured(value, places)}{change}"


def show_measured(value: Value, places: int) -> str:
    """The measured number with its spread over seeds."""
    if value.mean is None or math.isnan(value.mean):
        return "undefined"
    spread = "" if value.std is None else f" ± {value.std:.{places}f}"
    return f"{value.mean:.{places}f}{spread}"


def decimals(table: Table, column: str) -> int:
    """Decimals to print: the most that the paper prints in the column, at least two; none of whole numbers."""
    if next(one.unit for one in table.columns if one.id == column) == "number":
        return 0
    printed = [row.reported.get(column) for row in table.rows]
    lengths = [len(str(number).partition(".")[2]) for number in printed if number is not None]
    return max([2, *lengths])


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
