"""Finished tables in the terminal: ``python -m seedbed.report.terminal results/demo``."""

import csv
import math
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seedbed.papers.plan import NOTHING


def show_tables(results: Path, console: Console) -> int:
    """Print every finished table below a preset's results and the report's path; returns how many there are."""
    paths = sorted((results / "tables").glob("*/*.csv"))
    for path in paths:
        console.print(_table(path))
    report = results / "report.html"
    if report.is_file():
        console.print(f"Report: [link={report.resolve().as_uri()}]{report}[/link]", highlight=False)
    if results.name == "demo":
        console.print("Numbers of the demo are not comparable with the papers': stand-in data, small networks.")
    return len(paths)


def _table(path: Path) -> Table:
    """A line a method, a column a metric; a cell shows the paper's number, then the measured one or the status."""
    with path.open(newline="", encoding="utf-8") as stream:
        cells = list(csv.DictReader(stream))
    drawn = Table(title=f"{path.parent.name}_{path.stem} (paper → measured)", title_justify="left")
    drawn.add_column("method")
    for name in dict.fromkeys(f"{cell['column'].replace('_', ' ')} ({cell['unit']})" for cell in cells):
        drawn.add_column(name, justify="right")
    for row in dict.fromkeys(cell["row"] for cell in cells):
        line = [cell for cell in cells if cell["row"] == row]
        drawn.add_row(escape(line[0]["label"]), *map(_cell, line))
    return drawn


def _cell(cell: dict[str, str]) -> str:
    places = {"fraction": 4, "number": 0}.get(cell["unit"], 2)
    paper = _number(cell["reported"], places)
    if cell["status"] == NOTHING:
        return paper
    if not cell["measured"]:
        hours = f" → {_number(cell['forecast'], places)}" if cell.get("forecast") else ""
        return f"{paper}{hours} [dim]{cell['status']}[/dim]"
    spread = f" ± {_number(cell['std'], places)}" if cell["std"] else ""
    return f"{paper} → [bold]{_number(cell['measured'], places)}{spread}[/bold]"


def _number(text: str, places: int) -> str:
    if not text:
        return "-"
    return "undefined" if math.isnan(float(text)) else f"{float(text):.{places}f}"


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    if not show_tables(folder, Console()):
        sys.exit(f"{folder}: no table is finished yet.")
