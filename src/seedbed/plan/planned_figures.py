"""From figures and the galleries of tables to the files they are drawn from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from seedbed.errors import UserError, unknown_name
from seedbed.papers.figures import CHARTS, PlannedPanel, figure_panels, figure_series, missing_of
from seedbed.papers.plan import TRAINING_HOURS, MapMeasurement, measure
from seedbed.papers.tables import Figure
from seedbed.plan.describe import figure_notes
from seedbed.plan.names import Names, Wildcards
from seedbed.plan.planned_tables import PlannedTables

_STORED = {"heatmaps": "stored", "masks": "mask", "segmentation": "prediction", "prediction": "prediction"}
"""Stage of a table's cell -> what its gallery shows; other stages are explained on the spot."""

_CONFIDENT = {"confident_foreground": "low", "confident_background": "high"}
"""What a panel shows of the posteriors behind affinity labels -> the run of the CRF that they are of."""


class PlannedFigures:
    """The papers' figures, and galleries of their tables, as the preset makes them.

    Args:
        tables: the papers' tables.
        names: what names mean.
    """

    def __init__(self, tables: PlannedTables, names: Names) -> None:
        self.tables, self.papers, self.names = tables, tables.papers, names
        self.preset, self.layout = names.preset, names.layout
        self.panels: Callable[[str, str], list[PlannedPanel]] = cache(self._panels)

    @property
    def targets(self) -> dict[str, tuple[str, str]]:
        """Target of each figure -> paper and figure."""
        every = [(paper.id, figure.id) for paper in self.papers.values() for figure in paper.figures]
        return {"_".join(names): names for names in every}

    def built(self) -> list[tuple[str, str]]:
        """Figures that the preset can make, as (paper, figure)."""
        return [names for names in self.targets.values() if self.state(*names) == "built"]

    def state(self, paper: str, figure: str) -> str:
        """Whether the preset makes a figure, for ``snakemake help``."""
        return "not built" if missing_of(self.panels(paper, figure)) else "built"

    def figure(self, paper: str, figure: str) -> Figure:
        """The figure that a target asks for.

        Raises:
            UserError: there is none; with the nearest match.
        """
        if paper not in self.papers:
            raise UserError(unknown_name("paper", paper, self.papers))
        return self.papers[paper].figure(figure)

    def complete(self, paper: str, figure: str) -> list[PlannedPanel]:
        """Panels of a figure.

        Raises:
            UserError: the preset cannot make it.
        """
        found = self.panels(paper, figure)
        lacking = missing_of(found)
        if lacking:
            raise UserError(
                f"{paper}_{figure} is not built in preset '{self.preset.name}': it needs {', '.join(lacking)}. "
                "'snakemake help' lists what is built."
            )
        return found

    def of_kind(self, drawn_from_numbers: bool) -> str:
        """A regular expression of a paper's id before a figure of either kind: their paths differ in nothing else."""
        charts = "|".join(f"{p.id}/{f.id}" for p in self.papers.values() for f in p.figures if f.kind in CHARTS)
        return rf"(?{'=' if drawn_from_numbers else '!'}(?:{charts or '(?!)'})\.)\w+"

    # -- galleries

    def groups(self, wildcards: Wildcards) -> list[dict[str, Any]]:
        """A figure's groups of rows: their images and their columns."""
        paper, name = wildcards.paper, wildcards.figure
        planned, seed = self.complete(paper, name), self.tables.seeds(paper, name)[0]
        subjects = self.figure(paper, name).subjects
        picks = {group.label: list(group.picks) for group in self.figure(paper, name).groups}
        groups = []
        for label in dict.fromkeys(panel.group for panel in planned):
            members = [panel for panel in planned if panel.group == label]
            rows: list[str | None] = list(dict.fromkeys(panel.row for panel in members if panel.row))
            for row in rows or [None]:
                images = {key: members[0].names.get(key) for key in ("dataset", "split", "subset")}
                shown = [self._panel(p.names, p.label, p.shows, seed) for p in members if p.row in (None, row)]
                chosen = {"subjects": subjects, "picks": picks.get(label, [])}
                groups.append({"label": label, "row": row, **chosen, **images, "panels": shown})
        return groups

    def shown(self, wildcards: Wildcards) -> list[dict[str, Any]]:
        """Columns of all its groups."""
        return [panel for group in self.groups(wildcards) for panel in group["panels"]]

    def group_files(self, wildcards: Wildcards) -> list[str]:
        """Files that a figure's gallery is drawn from."""
        return [path for group in self.groups(wildcards) for path in panel_files(group["panels"])]

    def indices(self, wildcards: Wildcards) -> list[str]:
        """Indices of its data sets, in the order of its groups."""
        return [self.layout.index(group["dataset"]) for group in self.groups(wildcards)]

    def table_images(self, wildcards: Wildcards) -> dict[str, Any]:
        """Data set, split and subset of a table's gallery."""
        first = self.tables.measured(wildcards.paper, wildcards.table)[0].measured
        return {"dataset": first.dataset, "split": first.split, "subset": first.subset}

    def table_panels(self, wildcards: Wildcards) -> list[dict[str, Any]]:
        """Columns of a table's gallery: its rows on the images of the first one."""
        paper, name = wildcards.paper, wildcards.table
        cells, seed = self.tables.measured(paper, name), self.tables.seeds(paper, name)[0]
        first, labels = cells[0].measured, {row.id: row.label for row in self.tables.table(paper, name).rows}
        columns: dict[str, Any] = {}
        for cell in cells:
            part, label = cell.measured, labels[cell.row]
            alike = (part.dataset, part.split, part.subset) == (first.dataset, first.split, first.subset)
            shown = part.stage in _STORED or isinstance(part, MapMeasurement)  # else it is of the network itself
            if alike and shown and label not in columns:
                columns[label] = self._panel(asdict(part), label, _STORED.get(part.stage, "heatmap"), seed)
        beside = [self._panel({}, "image", "image", seed), self._panel({}, "ground truth", "truth", seed)]
        return [*beside, *columns.values()]

    def _panel(self, chain: Mapping[str, Any], label: str, shows: str, seed: int) -> dict[str, Any]:
        """Description of a gallery's column: stored maps or masks, or what explains the images on the spot."""
        described: dict[str, Any] = {"label": label, "shows": shows}
        keys = ("dataset", "split", "model", "explainer", "refiner", "segmenter")
        found: tuple[Any, ...] = tuple(chain.get(key) for key in keys)
        dataset, split, model, explainer, refiner, segmenter = found
        if shows == "mask":
            names = (dataset, split, model, explainer, refiner, seed)
            described["shards"] = self.names.stored_shards(self.layout.masks, "zip", *names)
        elif shows == "prediction":
            folder = self.layout.prediction(dataset, model, split, seed)
            if segmenter:
                folder = f"{self.layout.segmenter(dataset, model, explainer, refiner, segmenter, seed)}/{split}"
            described["shards"] = self.names.shards(folder, "zip")
        elif shows in _CONFIDENT:
            network = self.preset.network_of(refiner)
            if network is None:
                raise UserError(f"{label}: confident labels need a refiner that walks on affinities, not '{refiner}'.")
            labels = self.layout.affinity(dataset, model, explainer, network, seed)
            described["shards"] = self.names.shards(f"{labels}/{_CONFIDENT[shows]}", "h5")
        elif shows == "stored":
            shards = self.names.stored_shards(self.layout.heatmaps, "h5", dataset, split, model, explainer, seed)
            described["shards"] = shards
        elif shows not in ("image", "truth"):
            described["weights"] = self.names.weights(dataset, model, seed)
            described["network"] = self.names.network(model, dataset)
            if explainer:
                described["explainer"] = self.names.parameters(self.names.explainer(dataset, model, explainer))
            else:
                described["input"] = self.names.parameters(self.names.on(dataset).models[model].input)
        return described

    # -- charts

    def metrics(self, wildcards: Wildcards) -> list[str]:
        """Metrics of every bar and curve of a figure, and of every seed."""
        panels = self.complete(wildcards.paper, wildcards.figure)
        return list(dict.fromkeys(path for found in panels for path in found.sources))

    def series(self, wildcards: Wildcards) -> list[dict[str, Any]]:
        """What its bars and curves are drawn from, as plain values."""
        figure, panels = (
            self.figure(wildcards.paper, wildcards.figure),
            self.complete(wildcards.paper, wildcards.figure),
        )
        without = self._unplaced(figure, panels)
        shown = [panel for panel in figure.panels if panel.label not in without]
        drawn = figure_series(figure.model_copy(update={"panels": shown}), panels)
        return [series.plain() for series in drawn]

    def notes(self, wildcards: Wildcards) -> list[str]:
        """What a figure's panels show, in words."""
        names = (wildcards.paper, wildcards.figure)
        figure, panels = self.figure(*names), self.complete(*names)
        without = self._unplaced(figure, panels)
        why = "their networks are not in the preset, or nothing forecasts their trainings (benchmarks/count.py)"
        left_out = [f"Points left out, since {why}: {', '.join(without)}."]
        return [*figure_notes(figure, panels, self.preset, self.tables.seeds(*names)), *(left_out if without else [])]

    def _panels(self, paper: str, figure: str) -> list[PlannedPanel]:
        panels = figure_panels(self.figure(paper, figure), self.preset, self.layout, self.tables.seeds(paper, figure))
        known = [panel for panel in panels if not (panel.at_hours and panel.missing)]  # as rows of a table are left out
        placed = (self._at_hours(panel) if panel.at_hours and panel.sources else panel for panel in known or panels)
        return [panel for panel in placed if panel is not None]

    def _at_hours(self, panel: PlannedPanel) -> PlannedPanel | None:
        """A point at the forecast of its trainings; None where nothing is known of them."""
        measurement, _ = measure(panel.names, self.preset, panel.label)
        hours = self.tables.hours.of(measurement) if measurement else None
        return None if hours is None else replace(panel, places=(hours,))

    def _unplaced(self, figure: Figure, panels: Iterable[PlannedPanel]) -> list[str]:
        """Labels of points that have no place."""
        placed = {panel.label for panel in panels}
        return [panel.label for panel in figure.panels if panel.at == TRAINING_HOURS and panel.label not in placed]


def panel_files(panels: Iterable[Mapping[str, Any]]) -> list[str]:
    """Files that columns of a gallery are drawn from."""
    files = (path for panel in panels for path in panel.get("shards", [panel.get("weights")]) if path)
    return list(dict.fromkeys(files))
