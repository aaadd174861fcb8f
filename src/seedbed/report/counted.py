"""Footnotes that only a finished measurement can give: maps that were 0/0, and images that were left out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seedbed.papers.plan import MEASURED, Cell
from seedbed.papers.tables import Table

UNDEFINED, SKIPPED, IMAGES = "undefined_maps", "skipped", "images"

Read = Callable[[str], Mapping[str, Any]]


def counted_notes(table: Table, cells: Sequence[Cell], read: Read) -> list[str]:
    """Say of each measured row how many maps were undefined and how many images were left out, all seeds together.

    Args:
        table: names the rows.
        cells: its cells, with the metrics files that fill them.
        read: reads a metrics file. Files that count neither are passed over; NaN maps are thus never silently zero.
    """
    labels = {row.id: row.label for row in table.rows}
    undefined: dict[str, str] = {}
    skipped: dict[str, list[str]] = {}
    clean, total = [], 0
    for row, paths in _files_by_row(cells).items():
        metrics = [read(path) for path in paths]
        found = list(_undefined(metrics))
        if any(count for _, count, _ in found):
            undefined[row] = ", ".join(f"{count} of {images}{explained}" for explained, count, images in found)
        elif found:
            clean.append(labels[row])
            total = found[0][2]
        skipping = [values for values in metrics if SKIPPED in values]
        if left_out := sum(int(values[SKIPPED]) for values in skipping):
            seen = left_out + sum(int(values[IMAGES]) for values in skipping)
            skipped.setdefault(f"{left_out} of {seen} images left out, their class predicted wrongly", []).append(
                labels[row]
            )
    notes = [f"{labels[row]}: maps undefined (0/0, or of one value only): {text}." for row, text in undefined.items()]
    if clean:
        which = "any row" if not undefined else ", ".join(clean)
        notes.append(f"No map of {which} is undefined (0/0), of {total} each.")
    return notes + [f"{', '.join(rows)}: {text}." for text, rows in skipped.items()]


def _files_by_row(cells: Sequence[Cell]) -> dict[str, list[str]]:
    files: dict[str, dict[str, None]] = {}
    for cell in cells:
        if cell.status == MEASURED:
            files.setdefault(cell.row, {}).update(dict.fromkeys(cell.sources))
    return {row: list(paths) for row, paths in files.items()}


def _undefined(metrics: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """Which class was explained (empty where a protocol explains one only), how many undefined maps, of how many."""
    keys = dict.fromkeys(key for values in metrics for key in values if key.startswith(UNDEFINED))
    for key in keys:
        explained = key.removeprefix(UNDEFINED)
        having = [values for values in metrics if key in values]
        count = sum(int(values[key]) for values in having)
        images = sum(int(values[IMAGES + explained]) for values in having)
        yield explained.replace("_", " "), count, images
