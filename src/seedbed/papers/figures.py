"""From a figure to the panels that draw it: which network, maps or metrics each panel shows."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from seedbed.papers.plan import REGISTRY
from seedbed.papers.tables import Figure
from seedbed.params import Preset

REPRODUCED = "reproduced"


@dataclass(frozen=True)
class PlannedPanel:
    """One panel of one group, resolved for a preset.

    Attributes:
        group: label of the group of rows, empty where the figure has none.
        label: the panel's title.
        shows: ``image``, ``truth``, ``heatmap``, ``mask``, ``prediction``, ``histogram``, ``heatmap_per_layer``,
            ``affinity_matrix_per_layer``, ``curve`` or ``bars``.
        names: dataset, split, model, explainer, refiner, segmenter, stage, metric, subset, as far as it has them.
        reported: numbers that the paper prints in the panel.
        missing: what the preset lacks for it.
    """

    group: str
    label: str
    shows: str
    names: dict[str, str]
    reported: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def figure_panels(figure: Figure, preset: Preset) -> list[PlannedPanel]:
    """Every reproduced panel of the figure, group by group; cited ones are other people's pictures."""
    groups = figure.groups or [{"label": "", "pipeline": {}}]
    return [
        _resolve(figure, group["label"], panel, {**figure.pipeline, **group["pipeline"], **panel.pipeline}, preset)
        for group in groups
        for panel in figure.panels
        if panel.status == REPRODUCED
    ]


def missing_of(panels: Iterable[PlannedPanel]) -> tuple[str, ...]:
    """What the preset lacks for the figure, sorted."""
    return tuple(sorted({name for panel in panels for name in panel.missing}))


def _resolve(figure: Figure, group: str, panel, names: dict[str, str], preset: Preset) -> PlannedPanel:
    names = {**names, "dataset": preset.dataset_for(names["dataset"])}
    missing = tuple(
        f"{key} {name}" for key, name in names.items() if key in REGISTRY and name not in getattr(preset, REGISTRY[key])
    )
    if "stage" in names and names["stage"] not in preset.stages:
        missing += (f"stage {names['stage']}",)
    names = names if missing else preset.measured_names(names)
    return PlannedPanel(group, panel.label, panel.shows, names, panel.reported or {}, missing)
