"""From tables to the files they need: cells, metrics, histories, records of checkpoints, archives for a server."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache
from typing import Any

from seedbed.errors import UserError, unknown_name
from seedbed.papers import Layout, missing_names, table_cells
from seedbed.papers.plan import CITED, FORECAST, NOTHING, Cell, checkpoint_records, histories, history_of
from seedbed.papers.tables import Paper, Table
from seedbed.plan.describe import footnotes
from seedbed.plan.names import Names, Wildcards
from seedbed.plan.run_state import Number
from seedbed.plan.training_hours import TrainingHours


class PlannedTables:
    """The papers' tables as the preset makes them.

    Args:
        papers: by id.
        names: what names mean.
    """

    def __init__(self, papers: dict[str, Paper], names: Names) -> None:
        self.papers, self.names, self.preset = papers, names, names.preset
        self.layout: Layout = names.layout
        self.hours = TrainingHours(names.preset)
        self.cells: Callable[[str, str], list[Cell]] = cache(self._cells)
        self.notes: Callable[[str, str], list[str]] = cache(self._notes)

    @property
    def targets(self) -> dict[str, tuple[str, str]]:
        """Target of each table -> paper and table."""
        every = [(paper.id, table.id) for paper in self.papers.values() for table in paper.tables]
        return {"_".join(names): names for names in every}

    def built(self) -> list[tuple[str, str]]:
        """Tables that the preset can make, as (paper, table)."""
        return [names for names in self.targets.values() if any(cell.sources for cell in self.cells(*names))]

    def headlines(self) -> list[tuple[str, str]]:
        """The headline tables among them: what plain ``snakemake`` makes."""
        built = self.built()
        return [self.targets[name] for name in self.preset.headlines if self.targets[name] in built]

    def asked(self, of: object) -> list[tuple[str, str]]:
        """The tables that ``--config of=exvit_table1,exvit_table2`` names, or the headline tables.

        Raises:
            UserError: there is no such table; with the nearest match.
        """
        if not of:
            return self.headlines()
        for name in str(of).split(","):
            if name not in self.targets:
                raise UserError(f"of: {unknown_name('table', name, self.targets)}")
        return [self.targets[name] for name in str(of).split(",")]

    def state(self, paper: str, table: str) -> str:
        """How much of a table the preset makes, for ``snakemake help``."""
        cells = [cell for cell in self.cells(paper, table) if cell.status not in (CITED, NOTHING)]
        missing = [cell for cell in cells if cell.missing]
        if len(missing) == len(cells):
            return "not built"
        return "built" if not missing else f"partly built: {len(cells) - len(missing)} of {len(cells)} measured cells"

    def files(self, tables: list[tuple[str, str]], suffix: str) -> list[str]:
        """Files of tables, such as all fragments."""
        return [f"{self.layout.table(paper, table)}{suffix}" for paper, table in tables]

    def table(self, paper: str, table: str) -> Table:
        """The table that a target asks for.

        Raises:
            UserError: there is none; with the nearest match.
        """
        if paper not in self.papers:
            raise UserError(unknown_name("paper", paper, self.papers))
        return self.papers[paper].table(table)

    def seeds(self, paper: str, target: str) -> list[int]:
        """Seeds of a table or figure."""
        return self.preset.seeds_for(f"{paper}_{target}")

    def measured(self, paper: str, table: str) -> list[Cell]:
        """The cells that are measured.

        Raises:
            UserError: the preset can make none.
        """
        cells = self.cells(paper, table)
        found = [cell for cell in cells if cell.sources]
        if not found:
            raise UserError(
                f"{paper}_{table} is not built in preset '{self.preset.name}': it needs "
                f"{', '.join(missing_names(cells))}. 'snakemake help' lists what is built."
            )
        return found

    # -- files

    def metrics(self, wildcards: Wildcards) -> list[str]:
        """Metrics of every measured cell and seed."""
        cells = self.measured(wildcards.paper, wildcards.table)
        return list(dict.fromkeys(path for cell in cells for path in cell.sources))

    def numbers(self, made: Collection[str] = ()) -> dict[str, Number]:
        """Every file of metrics -> the first number of a table that it holds; of several seeds, each seed's own.

        Args:
            made: files that a run makes; numbers are told by the tables among them where there are some.
        """
        found: dict[str, Number] = {}
        later = lambda names: f"{self.layout.table(*names)}.csv" not in made  # noqa: E731
        for target, names in sorted(self.targets.items(), key=lambda item: later(item[1])):
            table = self.table(*names)
            rows = {row.id: row.label for row in table.rows}
            columns = {column.id: column for column in table.columns}
            for cell in self.cells(*names):
                for path in cell.sources:
                    column = columns[cell.column]
                    label = f"{target}, {rows[cell.row]}, {column.title}"
                    found.setdefault(path, Number(label, cell.measured.metric, column.unit == "%"))
        return found

    def histories(self, wildcards: Wildcards) -> dict[str, str]:
        """Training histories behind the first seed of every measured cell: network -> path.

        A network that rows train on other masks stands under its name and each row's label, the first that shows it.
        """
        names = (wildcards.paper, wildcards.table)
        labels, seed = {row.id: row.label for row in self.table(*names).rows}, self.seeds(*names)[0]
        found: dict[str, dict[str, str]] = {}
        for cell in self.measured(*names):
            for name, path in histories(cell.measured, self.preset, self.layout, seed).items():
                found.setdefault(name, {}).setdefault(path, history_of(name, labels[cell.row]))
        return {
            label if len(paths) > 1 else name: path for name, paths in found.items() for path, label in paths.items()
        }

    def datasets(self, wildcards: Wildcards) -> list[str]:
        """Data sets that its numbers are measured on, sorted."""
        cells = self.measured(wildcards.paper, wildcards.table)
        return sorted({cell.measurement.dataset for cell in cells if cell.measurement})

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Records of the published checkpoints behind a table."""
        cells = self.measured(wildcards.paper, wildcards.table)
        seed = self.seeds(wildcards.paper, wildcards.table)[0]
        chains = (cell.measurement for cell in cells if cell.measurement)
        found = (checkpoint_records(chain, self.preset, self.layout, seed) for chain in chains)
        return list(dict.fromkeys(path for records in found for path in records))

    # -- archives for an evaluation server

    def submitted(self, paper: str, table: str) -> list[str]:
        """Columns of a table that only an evaluation server can fill."""
        return [c.id for c in self.table(paper, table).columns if c.pipeline.get("metric") == "submission"]

    def submission_state(self, paper: str, table: str) -> str:
        """Whether the preset packs a table's predictions, for ``snakemake help``."""
        return "built" if any(cell.archive for cell in self.cells(paper, table)) else "not built"

    def archives(self, wildcards: Wildcards) -> list[str]:
        """Archives that a table asks for and the preset can make."""
        cells = self.cells(wildcards.paper, wildcards.table)
        return list(dict.fromkeys(cell.archive for cell in cells if cell.archive))

    def required_archives(self, paper: str, table: str) -> list[str]:
        """The same for a target of its own.

        Raises:
            UserError: there are none; with what is lacking.
        """
        cells = [cell for cell in self.cells(paper, table) if cell.status not in (CITED, NOTHING)]
        found = list(dict.fromkeys(cell.archive for cell in cells if cell.archive))
        if not found:
            columns = self.submitted(paper, table)
            lacking = missing_names(cell for cell in cells if cell.column in columns)
            raise UserError(f"{paper}_{table}_submission needs {', '.join(lacking)}.")
        return found

    # -- what is tracked

    def tracked_rows(self, wildcards: Wildcards) -> dict[str, Any]:
        """What MLflow learns of each measured row: parameters, metrics files by column, histories."""
        rows: dict[str, Any] = {}
        seed = self.seeds(wildcards.paper, wildcards.table)[0]
        for cell in self.measured(wildcards.paper, wildcards.table):
            if cell.row not in rows:
                rows[cell.row] = {"parameters": self._row_parameters(cell), "sources": {}, "histories": {}}
            row = rows[cell.row]
            row["sources"][cell.column] = {"metric": cell.measured.metric, "files": list(cell.sources)}
            row["histories"] |= histories(cell.measured, self.preset, self.layout, seed)
        return rows

    def row_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """The parameters behind each measured row, by kind of section: ``model``, ``explainer``, ..."""
        rows: dict[str, Any] = {}
        for cell in self.measured(wildcards.paper, wildcards.table):
            if cell.row not in rows:
                sections = self._row_parameters(cell)
                rows[cell.row] = {key.split("s.")[0]: value for key, value in sections.items() if key != "pipeline"}
        return rows

    def _row_parameters(self, cell: Cell) -> dict[str, Any]:
        """The parameter sections behind a row, by name."""
        part = cell.measured
        preset = self.names.on(part.dataset)
        names = part.names()
        chain = {key: names.get(key) for key in ("model", "explainer", "refiner", "segmenter")}
        sections = {
            f"{key}s.{name}": self.names.parameters(getattr(preset, f"{key}s")[name])
            for key, name in chain.items()
            if name
        }
        walked = self.preset.network_of(chain["refiner"])
        if walked:
            sections[f"affinity_networks.{walked}"] = self.names.parameters(preset.affinity_networks[walked])
        dataset = self.names.parameters(self.preset.datasets[part.dataset])
        return {"pipeline": names, "dataset": dataset, **sections}

    def _cells(self, paper: str, table: str) -> list[Cell]:
        cells = table_cells(self.table(paper, table), self.preset, self.layout, self.seeds(paper, table))
        return [
            replace(cell, hours=self.hours.of(cell.measured)) if cell.status == FORECAST else cell for cell in cells
        ]

    def _notes(self, paper: str, table: str) -> list[str]:
        cells = self.cells(paper, table)
        notes = footnotes(self.table(paper, table), cells, self.preset, self.seeds(paper, table))
        return [*notes, self.hours.note()] if any(cell.status == FORECAST for cell in cells) else notes
