"""Inputs and parameters of the rules that make tables, figures, pages and records of them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seedbed.params.absent_values import Parameters
from seedbed.plan.code import Code, panel_modules
from seedbed.plan.names import Names, Wildcards
from seedbed.plan.planned_figures import PlannedFigures, panel_files
from seedbed.plan.planned_tables import PlannedTables

REPORTS = {"report": "report", "full_report": "full_report"}
"""Rule's short name of a report -> name of its file."""


class PageInputs:
    """Files that tables, figures and reports are made from.

    Args:
        tables, figures: what the preset makes.
    """

    def __init__(self, tables: PlannedTables, figures: PlannedFigures) -> None:
        self.tables, self.figures, self.layout = tables, figures, tables.layout

    def make_table(self, wildcards: Wildcards) -> dict[str, Any]:
        return {"metrics": self.tables.metrics(wildcards), "checkpoints": self.tables.checkpoints(wildcards)}

    def render_table(self, wildcards: Wildcards) -> dict[str, Any]:
        return {
            **self.make_table(wildcards),
            "histories": list(self.tables.histories(wildcards).values()),
            "archives": self.tables.archives(wildcards),
            "index": self.layout.index(self.figures.table_images(wildcards)["dataset"]),
            "shards": panel_files(self.figures.table_panels(wildcards)),
        }

    def draw_figure(self, wildcards: Wildcards) -> dict[str, Any]:
        return {"indices": self.figures.indices(wildcards), "files": self.figures.group_files(wildcards)}

    def draw_chart(self, wildcards: Wildcards) -> dict[str, Any]:
        return {"metrics": self.figures.metrics(wildcards)}

    def track_table(self, wildcards: Wildcards) -> dict[str, Any]:
        """The table's files and what its numbers come from."""
        base = self.layout.table(wildcards.paper, wildcards.table)
        suffixes = {"csv": "csv", "markdown": "md", "metrics": "json", "page": "html", "gallery": "png"}
        return {
            **{name: f"{base}.{suffix}" for name, suffix in suffixes.items()},
            "sources": self.tables.metrics(wildcards),
            "histories": list(self.tables.histories(wildcards).values()),
        }

    def archive_table(self, wildcards: Wildcards) -> dict[str, Any]:
        """The table's files, and all that its numbers come from."""
        base = self.layout.table(wildcards.paper, wildcards.table)
        return {
            "table": [f"{base}.{suffix}" for suffix in ("csv", "md", "json", "tex", "html", "png")],
            **self.make_table(wildcards),
            "histories": list(self.tables.histories(wildcards).values()),
            "cards": [self.layout.card(name) for name in self.tables.datasets(wildcards)],
        }

    def write_report(self, wildcards: Wildcards | None = None) -> dict[str, Any]:
        """Sections of the headline report."""
        return {"fragments": self.tables.files(self.tables.headlines(), ".fragment.html")}

    def write_full_report(self, wildcards: Wildcards | None = None) -> dict[str, Any]:
        """Sections of the full one: paper by paper its tables, then its figures."""
        tables = [(paper, self.layout.table(paper, table)) for paper, table in self.tables.built()]
        figures = [(paper, self.layout.figure(paper, figure)) for paper, figure in self.figures.built()]
        ordered = [path for name in self.tables.papers for paper, path in tables + figures if paper == name]
        return {"fragments": [f"{path}.fragment.html" for path in ordered]}


class PageParameters:
    """What the scripts of tables, figures and reports are given.

    Args:
        tables, figures: what the preset makes.
        names: what names mean.
        code: digests of code.
        command: what makes a file when its path is put behind it.
    """

    def __init__(
        self, tables: PlannedTables, figures: PlannedFigures, names: Names, code: Code, command: str = ""
    ) -> None:
        self.tables, self.figures, self.names, self.code = tables, figures, names, code
        # A page says how it was made; a command that says the same otherwise makes no new one.
        self.command = Parameters({"command": command}, {})
        preset = names.preset
        self.head = {"preset": preset.name, "about": preset.about, "comparable": preset.comparable}

    def make_table(self) -> dict[str, Any]:
        return {"code": self.code.of("make_table"), **self._table()}

    def render_table(self) -> dict[str, Any]:
        return {
            "code": lambda wildcards: self._drawing("render_table", self.figures.table_panels(wildcards)),
            "paper": self._paper,
            **self._table(),
            "panels": self.figures.table_panels,
            "histories": self.tables.histories,
            "images": self.figures.table_images,
            "settings": self.tables.row_settings,
            "made_by": self.command,
            "preset": self.head,
        }

    def draw_figure(self) -> dict[str, Any]:
        return {
            "code": lambda wildcards: self._drawing("draw_figure", self.figures.shown(wildcards)),
            **self._figure(),
            "groups": self.figures.groups,
            **self.names.computing,
        }

    def draw_chart(self) -> dict[str, Any]:
        return {"code": self.code.of("draw_chart", pages=True), **self._figure(), "series": self.figures.series}

    def track_table(self) -> dict[str, Any]:
        return {
            "code": self.code.of("track_table"),
            "rows": self.tables.tracked_rows,
            "preset": self.names.preset.name,
            "results": lambda wildcards, output: str(Path(output[0]).parents[3]),
        }

    def archive_table(self) -> dict[str, Any]:
        table = lambda wildcards: self.tables.table(wildcards.paper, wildcards.table)  # noqa: E731
        return {
            "code": self.code.of("archive_table"),
            "paper": self._paper,
            "title": lambda wildcards: table(wildcards).title,
        }

    def write_report(self) -> dict[str, Any]:
        return {
            "code": self.code.of("write_report", pages=True),
            "title": "Seedbed: the papers' tables, reported and measured",
            "preset": self.head,
            "parameters": self._run(),
        }

    write_full_report = write_report

    def _drawing(self, script: str, panels: Iterable[Mapping[str, Any]]) -> str:
        return self.code.of(script, *panel_modules(panels), pages=True)

    def _paper(self, wildcards: Wildcards) -> Mapping[str, str]:
        return self.tables.papers[wildcards.paper].head()

    def _table(self) -> dict[str, Any]:
        """A table, its cells and its footnotes, as plain values."""
        tables = self.tables
        return {
            "table": lambda wildcards: tables.table(wildcards.paper, wildcards.table).plain(),
            "cells": lambda wildcards: [asdict(cell) for cell in tables.cells(wildcards.paper, wildcards.table)],
            "footnotes": lambda wildcards: tables.notes(wildcards.paper, wildcards.table),
        }

    def _figure(self) -> dict[str, Any]:
        """A figure and its notes, as plain values."""
        figure = lambda wildcards: self.figures.figure(wildcards.paper, wildcards.figure)  # noqa: E731
        return {
            "paper": self._paper,
            "figure": lambda wildcards: figure(wildcards).plain(),
            "title": lambda wildcards: figure(wildcards).title,
            "notes": self.figures.notes,
            "preset": self.head,
        }

    def _run(self) -> Parameters:
        """The whole preset but for resources, which change no result."""
        return self.names.parameters(self.names.preset, "resources")
