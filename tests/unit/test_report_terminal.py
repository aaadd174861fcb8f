"""Finished tables in the terminal."""

import csv
import io
import subprocess
import sys

from report_samples import METRICS, cells, table
from rich.console import Console

from seedbed.report.filled_tables import fill_table, to_csv
from seedbed.report.terminal import show_tables


def write(results, label="Ours", metrics=METRICS):
    path = results / "tables" / "one" / "table1.csv"
    path.parent.mkdir(parents=True)
    rows = [row.plain() | ({"label": label} if row.id == "ours" else {}) for row in table().rows]
    given = table(rows=rows)
    path.write_text(to_csv(given, fill_table(given, cells(), metrics.__getitem__)))


def shown(results):
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    count = show_tables(results, console)
    return count, console.file.getvalue()


def test_tables_with_every_status(tmp_path):
    write(tmp_path / "demo")
    (tmp_path / "demo" / "report.html").touch()
    count, text = shown(tmp_path / "demo")
    assert count == 1
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "one_table1" in lines[0]
    assert any(line.startswith("Ours 66.25 → 66.00 ± ") and "0.2000 → 0.2500" in line for line in lines)
    assert any(line.startswith("Theirs 61.70 cited") for line in lines)
    assert any(line.startswith("Big") and "- submit" in line for line in lines)
    assert "not comparable with the papers'" in text
    assert "report.html" in text


def test_labels_in_brackets_are_not_markup(tmp_path):
    write(tmp_path / "demo", label="[red]affinity[/red] [Re]")
    assert "[red]affinity[/red] [Re]" in shown(tmp_path / "demo")[1]


def test_undefined_numbers(tmp_path):
    write(tmp_path / "demo", metrics={path: {"miou": None, "fp": 1} for path in METRICS})
    assert "undefined" in shown(tmp_path / "demo")[1]


def test_other_presets_are_not_called_incomparable(tmp_path):
    write(tmp_path / "paper")
    assert "not comparable" not in shown(tmp_path / "paper")[1]


def test_nothing_finished_is_said_and_is_an_error(tmp_path):
    assert shown(tmp_path)[0] == 0
    command = [sys.executable, "-m", "seedbed.report.terminal", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"{tmp_path}: no table is finished yet." in run.stderr


def test_a_forecast_is_no_measured_number_and_nothing_is_a_dash(tmp_path):
    path = tmp_path / "tables" / "one" / "hours.csv"
    path.parent.mkdir(parents=True)
    head = {"row": "ours", "label": "Ours", "unit": "hours", "reported": "", "measured": "", "std": ""}
    cells = [("a", "forecast", "3.456"), ("b", "nothing", ""), ("c", "forecast", "")]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [*head, "column", "status", "forecast"])
        writer.writeheader()
        for column, status, hours in cells:
            writer.writerow({**head, "column": column, "status": status, "forecast": hours})
    line = next(line for line in shown(tmp_path)[1].splitlines() if "Ours" in line)
    assert [" ".join(part.split()) for part in line.split("│")[1:-1]] == [
        "Ours",
        "- → 3.46 forecast",
        "-",
        "- forecast",
    ]
