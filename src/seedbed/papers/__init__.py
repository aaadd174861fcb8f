"""The papers' tables and figures as data, and where the artifacts that reproduce each cell lie."""

from seedbed.papers.layout import Layout
from seedbed.papers.plan import Cell, Measurement, missing_names, seeds_of, table_cells
from seedbed.papers.tables import Column, Figure, Paper, Row, Table, read_papers

__all__ = [
    "Cell",
    "Column",
    "Figure",
    "Layout",
    "Measurement",
    "Paper",
    "Row",
    "Table",
    "missing_names",
    "read_papers",
    "seeds_of",
    "table_cells",
]
