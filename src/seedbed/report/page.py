"""HTML: a section for each table and figure, and pages of one or many. Self-contained, offline, all text escaped."""

import base64
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seedbed.errors import DataError
from seedbed.papers.plan import NOTHING, history_of
from seedbed.papers.tables import UNITS, Figure, Table
from seedbed.report.assets import assets
from seedbed.report.chain import Number, draw_chain
from seedbed.report.details import Behind, Interval, behind_cell, differing_parameters
from seedbed.report.filled_tables import Value, decimals, show_measured, to_csv
from seedbed.report.latex import to_latex
from seedbed.report.layers import Images
from seedbed.report.plots import Bars, Plot

_SUMMARY = re.compile(r'<script type="application/json" class="summary">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Fragment:
    """A finished section of a page.

    Attributes:
        anchor: its id on the page.
        html: trusted, it was escaped when it was made.
        summary: what an overview says of it: ``kind``, ``id``, ``title``, ``paper``, ``counts`` of cells by status,
            ``numbers``.
    """

    anchor: str
    html: Markup
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Background:
    """What a table's section says beyond its numbers.

    Attributes:
        settings: row -> the parameters behind it, nested.
        command: what makes a file when its path is put behind it.
        intervals: (row, column) -> 95 % interval over images of the first seed's number, as a fraction.
        images: the images of its viewer.
        plots: its curves.
        provenance: metrics file -> what made it.
    """

    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    command: str = ""
    intervals: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    images: Images | None = None
    plots: Sequence[Plot] = ()
    provenance: Mapping[str, Any] | None = None


def read_fragment(path: Path) -> Fragment:
    """A section from its file, our own output, named ``<paper>/<table or figure>.fragment.html``.

    Raises:
        DataError: an earlier version wrote it.
    """
    html = path.read_text(encoding="utf-8")
    found = _SUMMARY.search(html)
    if not found:
        raise DataError(f"{path}: an earlier version of Seedbed wrote it. Delete it and run again.")
    anchor = f"{path.parent.name}_{path.name.removesuffix('.fragment.html')}"
    return Fragment(anchor, Markup(html), json.loads(found[1]))


def render_table(
    paper: Mapping[str, str],
    table: Table,
    values: Sequence[Value],
    footnotes: Sequence[str],
    *,
    comparable: bool = True,
    read: Callable[[str], Mapping[str, Any]] = lambda path: {},
    background: Background | None = None,
    base: str = "",
) -> Fragment:
    """The section of one table.

    Args:
        paper: its ``id``, ``title`` and ``citation``.
        table, values, footnotes: the table, its filled cells, and what they stand for.
        comparable: whether measured numbers may be compared with the paper's; else no difference is shown.
        read: reads a metrics file, for the number of each seed.
        background: what stands behind the numbers.
        base: folder of the page that the section stands on; archives to upload are linked from there.
    """
    anchor, background = f"{paper['id']}_{table.id}", background or Background()
    archives = {v.cell.archive: quote(os.path.relpath(v.cell.archive, base or ".")) for v in values if v.cell.archive}
    summary = _table_summary(paper, table, values)
    html = (
        _environment()
        .get_template("table.html.j2")
        .render(
            anchor=anchor,
            paper=paper,
            table=table,
            comparable=comparable,
            rows=_rows(table, values, read, background),
            chain=draw_chain(_numbers(summary, anchor), f"The chain behind {table.title}"),
            footnotes=footnotes,
            images=background.images,
            plots=[plot.plain() for plot in background.plots],
            archives=archives,
            downloads={
                "csv": _download(to_csv(table, list(values)), "text/csv"),
                "tex": _download(to_latex(table, values), "text/x-tex"),
            },
            provenance=_json(background.provenance),
            summary=summary,
        )
    )
    return Fragment(anchor, Markup(html), summary)


def render_figure(
    paper: Mapping[str, str],
    figure: Figure,
    drawing: bytes,
    notes: Sequence[str] = (),
    *,
    comparable: bool = True,
    files: Sequence[str] = (),
    images: Images | None = None,
    plots: Sequence[Plot] = (),
    bars: Sequence[Bars] = (),
    numbers: Sequence[Mapping[str, str]] = (),
    provenance: Mapping[str, Any] | None = None,
) -> Fragment:
    """The section of one figure.

    Args:
        paper: its ``id``, ``title`` and ``citation``.
        figure, drawing: the figure and its PNG, which is shown where there is nothing to switch or to hover.
        notes: what its panels show.
        comparable: whether measured numbers may be compared with the paper's.
        files: paths of the figure as files, for a paper or slides.
        images, plots, bars: what the page draws itself.
        numbers: the drawn numbers, as ``seedbed.report.charts.chart_rows`` gives them.
        provenance: metrics file -> what made it.
    """
    anchor = f"{paper['id']}_{figure.id}"
    summary = {"kind": "figure", "id": figure.id, "title": figure.title, "paper": paper["title"], "numbers": []}
    html = (
        _environment()
        .get_template("figure.html.j2")
        .render(
            anchor=anchor,
            paper=paper,
            figure=figure,
            comparable=comparable,
            drawing=None if images or plots or bars else base64.b64encode(drawing).decode(),
            files=files,
            notes=notes,
            images=images,
            plots=[plot.plain() for plot in plots],
            bars=bars,
            numbers=numbers,
            provenance=_json(provenance),
            summary=summary,
        )
    )
    return Fragment(anchor, Markup(html), summary)


def render_page(
    title: str, fragments: Sequence[Fragment], *, preset: str, about: str, comparable: bool, run: Any = None
) -> str:
    """A page around sections. Its head says whether numbers may be compared with the papers'; of many, an overview."""
    numbers = [number for fragment in fragments for number in _numbers(fragment.summary, fragment.anchor, named=True)]
    several = len(fragments) > 1
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            fragments=fragments,
            chain=draw_chain(numbers, "The chain behind every measured number") if several else None,
            preset=preset,
            about=about,
            comparable=comparable,
            assets=assets(),
            run=_json(run),
        )
    )


def _rows(
    table: Table, values: Sequence[Value], read: Callable[[str], Mapping[str, Any]], background: Background
) -> list[dict[str, Any]]:
    by_cell = {(value.cell.row, value.cell.column): value for value in values}
    differing = differing_parameters(background.settings)
    labels = {row.id: row.label for row in table.rows}
    scales = {column.id: UNITS[column.unit] for column in table.columns}

    def cell(row: str, column: str) -> dict[str, Any]:
        value, behind = by_cell[row, column], None
        if value.cell.sources:
            behind = behind_cell(
                value,
                scales[column],
                read,
                command=background.command,
                differing=differing.get(row, ()),
                over_images=background.intervals.get((row, column)),
            )
        shown = [k for k, plot in enumerate(background.plots) if behind and _concerns(plot, value, labels[row])]
        return {**_cell(value, decimals(table, column), behind), "plots": shown}

    return [
        {
            "label": row.label,
            "supervision": row.supervision or "",
            "attributes": ", ".join(f"{key} {value}" for key, value in row.attributes.items()),
            "cells": [cell(row.id, column.id) for column in table.columns],
        }
        for row in table.rows
    ]


def _cell(value: Value, places: int, behind: Behind | None) -> dict[str, Any]:
    reported, difference = value.cell.reported, value.difference
    defined = difference is not None and difference == difference  # NaN differs from itself
    spread = behind and (behind.over_seeds or behind.over_images)
    return {
        "id": f"{value.cell.row}-{value.cell.column}",
        "paper": "–" if reported is None else f"{reported:.{places}f}",
        "paper_order": "" if reported is None else reported,
        "measured": show_measured(value, places) if behind else None,
        "measured_order": value.mean if value.mean is not None and value.mean == value.mean else "",
        "difference": f"{difference:+.{places}f}" if defined else None,
        "difference_order": difference if defined else "",
        "status": _status(value, places),
        "missing": ", ".join(value.cell.missing),
        "behind": behind,
        "places": places,
        "interval": f"{spread[0]:.{places}f} – {spread[1]:.{places}f}" if spread else None,
    }


def _status(value: Value, places: int) -> str:
    """What stands where no measured number does."""
    if value.cell.hours is not None:
        return f"{value.cell.hours:.{places}f} {value.cell.status}"
    return "" if value.cell.status == NOTHING else value.cell.status


def _concerns(plot: Plot, value: Value, row: str) -> bool:
    """Whether a plot shows a network or maps on the way to a number of the row of that label."""
    names = value.cell.measured.names()
    networks = [names[key] for key in ("model", "segmenter") if key in names]
    known = {*networks, *(history_of(network, row) for network in networks)}
    maps = f"{names.get('model')}, {names.get('explainer')}, "
    return any(line.label in known or line.label.startswith(maps) for line in plot.lines)


def _table_summary(paper: Mapping[str, str], table: Table, values: Sequence[Value]) -> dict[str, Any]:
    titles = {column.id: column.title for column in table.columns}
    counts: dict[str, int] = {}
    for value in values:
        counts[value.cell.status] = counts.get(value.cell.status, 0) + 1
    numbers = [
        {
            "measurement": value.cell.measured.names(),
            "text": f"{titles[value.cell.column]} {show_measured(value, decimals(table, value.cell.column))}",
        }
        for value in values
        if value.cell.sources
    ]
    head = {"kind": "table", "id": table.id, "title": table.title, "paper": paper["title"]}
    return {**head, "counts": counts, "numbers": numbers}


def _numbers(summary: Mapping[str, Any], anchor: str, named: bool = False) -> list[Number]:
    """The numbers of a section for a drawing of chains; ``named`` by their section where there are many."""
    before, found = f"{anchor}: " if named else "", summary.get("numbers", ())
    return [Number(one["measurement"], before + one["text"], f"#{anchor}") for one in found]


def _json(values: Any) -> str | None:
    return json.dumps(values, indent=2, sort_keys=True) if values else None


def _download(text: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("seedbed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
