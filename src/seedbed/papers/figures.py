"""From a figure to the panels that draw it: which network, maps or metrics each panel shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seedbed.errors import ParameterError
from seedbed.papers.layout import Layout
from seedbed.papers.measured import check_stage
from seedbed.papers.plan import TRAINING_HOURS, lacking, measure, seeds_of
from seedbed.papers.tables import Axis, Figure, Group, Panel
from seedbed.params import Preset

REPRODUCED = "reproduced"
CHARTS = ("bars", "curve", "points")
"""Kinds of figures, and of panels, that are drawn from numbers; all others are images."""


@dataclass(frozen=True)
class PlannedPanel:
    """One panel of one group, resolved for a preset.

    Attributes:
        group: label of the group of rows, empty where the figure has none.
        label: the panel's title.
        shows: ``image``, ``truth``, ``heatmap``, ``peaks``, ``mask``, ``prediction``, ``histogram``,
            ``confident_foreground``, ``confident_background`` (posteriors that affinity labels are made of),
            ``heatmap_per_layer``, ``affinity_matrix_per_layer``, ``curve``, ``points`` or ``bars``.
        names: dataset, split, model, explainer, refiner, segmenter, stage, metric, subset, as far as it has them.
        row: label of the rows of a gallery that it belongs to, or None for all.
        axes: title of the axes that a bar or curve is drawn in.
        sources: metrics files of a bar or curve, one a seed; of points, those of one after those of another.
        missing: what the preset lacks for it.
        models: networks that points are measured on.
        places: where each of these points stands.
        at_hours: whether its one point stands at the forecast of its trainings; the plan knows it.
    """

    group: str
    label: str
    shows: str
    names: dict[str, str]
    row: str | None = None
    axes: str = ""
    sources: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    places: tuple[float, ...] = ()
    at_hours: bool = False


@dataclass(frozen=True)
class Series:
    """What a bar or a curve is drawn from.

    Attributes:
        axes: title of the axes it is drawn in.
        label: its name there.
        shows: ``bars``, ``curve`` or ``points``.
        x, y: titles and unit of its axes.
        metric: key of the drawn number or list in each of ``sources``.
        level: key of a number that is drawn across a curve, or None.
        reported: the paper's numbers in the unit of ``y``, by name; at the place ``x`` if that is among the names.
        sources: metrics files, one a seed; of points, those of one after those of another.
        places: where points stand.
    """

    axes: str
    label: str
    shows: str
    x: Axis
    y: Axis
    metric: str
    level: str | None = None
    reported: dict[str, float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    places: tuple[float, ...] = ()

    @property
    def seeds(self) -> int:
        """How many seeds each number is of."""
        return len(self.sources) // (len(self.places) or 1)

    def plain(self) -> dict[str, Any]:
        """Plain values, for rules."""
        lists = {"sources": list(self.sources), "places": list(self.places)}
        return {**vars(self), "x": self.x.plain(), "y": self.y.plain(), **lists}

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Series":
        """Rebuild from `plain`."""
        axes = {key: Axis.model_validate(values[key]) for key in ("x", "y")}
        lists = {key: tuple(values[key]) for key in ("sources", "places")}
        return cls(**{**values, **axes, **lists})


def figure_panels(
    figure: Figure, preset: Preset, layout: Layout, seeds: Sequence[int] | None = None
) -> list[PlannedPanel]:
    """Every reproduced panel of the figure, group by group; cited ones are other people's images.

    Args:
        figure, preset, layout, seeds: as in ``seedbed.papers.plan.table_cells``.

    Raises:
        ParameterError: the pipeline of a bar or curve lacks a key that its stage needs.
    """
    groups = figure.groups or [Group(label="")]
    return [
        _resolve(figure, group, panel, preset, layout, tuple(seeds or preset.seeds))
        for group in groups
        for panel in figure.panels
        if panel.status == REPRODUCED
    ]


def figure_series(figure: Figure, panels: Iterable[PlannedPanel]) -> list[Series]:
    """What a figure of bars or curves draws, in its order.

    Args:
        figure: of a kind in ``CHARTS``.
        panels: all of `figure_panels`, none of them missing anything.
    """
    drawn = [panel for panel in figure.panels if panel.status == REPRODUCED]
    return [
        Series(
            axes=panel.axes,
            label=panel.label,
            shows=planned.shows,
            x=figure.x or Axis(title=""),
            y=panel.y or figure.y or Axis(title=""),
            metric=planned.names["metric"],
            level=panel.level,
            reported=panel.reported,
            sources=planned.sources,
            places=planned.places,
        )
        for panel, planned in zip(drawn, panels, strict=True)
    ]


def missing_of(panels: Iterable[PlannedPanel]) -> tuple[str, ...]:
    """What the preset lacks for the figure, sorted."""
    return tuple(sorted({name for panel in panels for name in panel.missing}))


def _resolve(
    figure: Figure, group: Group, panel: Panel, preset: Preset, layout: Layout, seeds: tuple[int, ...]
) -> PlannedPanel:
    pipeline: dict[str, Any] = {**figure.pipeline, **group.pipeline, **panel.pipeline}
    if panel.shows is None or (panel.shows in CHARTS and not (panel.y or figure.y)):
        unsaid = "shows" if panel.shows is None else "y"
        raise ParameterError(f"{figure.id}, panel '{panel.label}': lacks {unsaid}.")
    names = {**pipeline, "dataset": preset.dataset_for(pipeline["dataset"])}
    if panel.shows == "points" and not (panel.at == TRAINING_HOURS and not panel.models):
        return _points(figure, group, panel, names, preset, layout, seeds)
    if panel.shows in CHARTS:
        measurement, missing = measure(pipeline, preset, f"{figure.id}, panel '{panel.label}'")
        sources: tuple[str, ...] = ()
        if measurement is not None:
            sources = tuple(measurement.path(layout, seed) for seed in seeds_of(measurement, preset, seeds))
        drawn = (group.label, panel.label, panel.shows, names, panel.row, panel.axes, sources, missing)
        return PlannedPanel(*drawn, at_hours=panel.shows == "points")
    missing = lacking(pipeline, preset)
    if "stage" in names:
        check_stage(names["stage"], f"{figure.id}, panel '{panel.label}'")
    names = names if missing else preset.measured_names(names)
    return PlannedPanel(group.label, panel.label, panel.shows, names, panel.row, missing=missing)


def _points(
    figure: Figure,
    group: Group,
    panel: Panel,
    names: dict[str, Any],
    preset: Preset,
    layout: Layout,
    seeds: tuple[int, ...],
) -> PlannedPanel:
    """One number of each network that the preset has, at the place that an option of the network says."""
    where = f"{figure.id}, panel '{panel.label}'"
    if not (panel.models and panel.at):
        raise ParameterError(f"{where}: points need models, and at: the option that says where each stands.")
    known = [model for model in panel.models if model in preset.models]
    found, absent = [], [f"model {model}" for model in panel.models if not known]
    for model in known:
        options = preset.on(names["dataset"]).models[model].options
        if panel.at not in options:
            raise ParameterError(f"{where}: models.{model}.options has no '{panel.at}'.")
        measurement, missing = measure({**names, "model": model}, preset, where)
        absent += missing
        if measurement is not None:
            paths = [measurement.path(layout, seed) for seed in seeds_of(measurement, preset, seeds)]
            found.append((float(options[panel.at]), paths))
    if len({len(paths) for _, paths in found}) > 1:
        raise ParameterError(f"{where}: some of its models are trained and some are not, so their seeds differ.")
    return PlannedPanel(
        group.label,
        panel.label,
        "points",
        {**names, "model": (known or panel.models)[0]},
        panel.row,
        panel.axes,
        tuple(path for _, paths in found for path in paths),
        tuple(dict.fromkeys(absent)),
        tuple(known),
        tuple(place for place, _ in found),
    )
