"""How the measured numbers of two runs differ, as Markdown: ``python benchmarks/compare_tables.py BEFORE AFTER``.

Each is a folder in which the workflow ran, or a preset's results. The exit status is 1 where any cell differs.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

Cells = dict[tuple[str, str, str], str]


def read_cells(folder: Path) -> Cells:
    """What every cell of every table shows, by table, row and column: the measured number, or the status."""
    cells = {}
    for path in sorted(folder.rglob("tables/*/*.csv")):
        with path.open(newline="") as stream:
            for line in csv.DictReader(stream):
                name = f"{path.parent.name}_{path.stem}"
                cells[name, line["row"], line["column"]] = line["measured"] or line["status"]
    return cells


def differences(before: Cells, after: Cells) -> Iterator[str]:
    """One line of a Markdown table for each cell that is not the same."""
    for cell in sorted(before.keys() | after.keys()):
        old, new = before.get(cell, "absent"), after.get(cell, "absent")
        if old != new:
            yield f"| {' | '.join(cell)} | {old} | {new} | {_change(old, new)} |"


def _change(old: str, new: str) -> str:
    try:
        return f"{float(new) - float(old):+.6g}"
    except ValueError:
        return ""


def main(before: str, after: str) -> int:
    """Print the differences; returns the exit status."""
    cells = [read_cells(Path(folder)) for folder in (before, after)]
    for folder, found in zip((before, after), cells, strict=True):
        if not found:
            print(f"{folder}: no table below it.", file=sys.stderr)
            return 2
    lines = list(differences(*cells))
    if not lines:
        print(f"All {len(cells[0])} cells of the tables are the same.")
        return 0
    print(f"{len(lines)} of {len(cells[0].keys() | cells[1].keys())} cells differ.\n")
    print("| table | row | column | before | after | change |\n| --- | --- | --- | ---: | ---: | ---: |")
    print("\n".join(lines))
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
