"""HTML: a section for each table, and pages that hold one or many. Self-contained, opens offline, all text escaped."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seedbed.papers.plan import CITED
from seedbed.papers.tables import Figure, Table
from seedbed.report.filled_tables import Value, decimals, show_measured


@dataclass(frozen=True)
class Fragment:
    """A finished section of a page; ``html`` is trusted, it was escaped when it was made."""

    anchor: str
    html: Markup


def render_table(
    paper: Mapping[str, str],
    table: Table,
    values: Sequence[Value],
    footnotes: Sequence[str],
    *,
    gallery: bytes | None = None,
    curves: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    base: str = "",
) -> Fragment:
    """The section of one table.

    Args:
        paper: its ``id``, ``title`` and ``citation``.
        table, values, footnotes: the table, its filled cells, and what they stand for.
        gallery: a PNG.
        curves: SVGs of our own.
        provenance: metrics file -> what made it.
        base: folder of the page that the section stands on; archives to upload are linked from there.
    """
    anchor = f"{paper['id']}_{table.id}"
    archives = {v.cell.archive: quote(os.path.relpath(v.cell.archive, base or ".")) for v in values if v.cell.archive}
    html = (
        _environment()
        .get_template("table.html.j2")
        .render(
            anchor=anchor,
            paper=paper,
            table=table,
            rows=_rows(table, values),
            footnotes=footnotes,
            gallery=base64.b64encode(gallery).decode() if gallery else None,
            curves=[Markup(curve) for curve in curves],  # our own SVG
            archives=archives,
            sources=json.dumps(
                {f"{v.cell.row}.{v.cell.column}": v.cell.sources for v in values if v.cell.sources}, indent=2
            ),
            provenance=json.dumps(provenance, indent=2, sort_keys=True) if provenance else None,
        )
    )
    return Fragment(anchor, Markup(html))


def render_figure(
    paper: Mapping[str, str],
    figure: Figure,
    drawing: bytes,
    notes: Sequence[str] = (),
    *,
    numbers: Sequence[Mapping[str, str]] = (),
    provenance: Mapping[str, Any] | None = None,
) -> Fragment:
    """The section of one figure.

    Args:
        paper: its ``id``, ``title`` and ``citation``.
        figure, drawing: the figure and its PNG.
        notes: what its panels show.
        numbers: the drawn numbers, as ``seedbed.report.charts.chart_rows`` gives them.
        provenance: metrics file -> what made it.
    """
    anchor = f"{paper['id']}_{figure.id}"
    html = (
        _environment()
        .get_template("figure.html.j2")
        .render(
            anchor=anchor,
            paper=paper,
            figure=figure,
            drawing=base64.b64encode(drawing).decode(),
            notes=notes,
            numbers=numbers,
            provenance=json.dumps(provenance, indent=2, sort_keys=True) if provenance else None,
        )
    )
    return Fragment(anchor, Markup(html))


def render_page(
    title: str, fragments: Sequence[Fragment], *, preset: str, about: str, comparable: bool, run: Any = None
) -> str:
    """A page around sections; its head says whether numbers may be compared with the papers'."""
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            fragments=fragments,
            preset=preset,
            about=about,
            comparable=comparable,
            run=json.dumps(run, indent=2, sort_keys=True) if run is not None else None,
        )
    )


def _rows(table: Table, values: Sequence[Value]) -> list[dict[str, Any]]:
    by_cell = {(value.cell.row, value.cell.column): value for value in values}
    return [
        {
            "label": row.label,
            "supervision": row.supervision or "",
            "attributes": ", ".join(f"{key} {value}" for key, value in row.attributes.items()),
            "cells": [_cell(by_cell[row.id, column.id], decimals(table, column.id)) for column in table.columns],
        }
        for row in table.rows
    ]


def _cell(value: Value, places: int) -> dict[str, str | None]:
    reported, difference = value.cell.reported, value.difference
    return {
        "paper": "–" if reported is None else f"{reported:.{places}f}",
        "measured": None if value.mean is None else show_measured(value, places),
        "difference": f"{difference:+.{places}f}" if difference is not None and difference == difference else None,
        "status": "cited" if value.cell.status == CITED else value.cell.status,
    }


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("seedbed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
