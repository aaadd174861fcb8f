"""Footnotes: which split, views, precision, threshold, CRF and mean each measured number stands for, spelled out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from seedbed.evaluate.measurements import MEASUREMENTS
from seedbed.papers.figures import PlannedPanel
from seedbed.papers.layout import NONE
from seedbed.papers.measured import SCORED, measures
from seedbed.papers.plan import (
    MEASURED,
    MIOU,
    NOT_RUN,
    SUBMIT,
    Cell,
    MapMeasurement,
    MaskMeasurement,
    Measurement,
    PredictionMeasurement,
    SegmentationMeasurement,
    measure,
    measurement_of,
    reads_model,
    trained_on_the_way,
)
from seedbed.papers.tables import Figure, Table
from seedbed.params import Preset
from seedbed.params.stages import Explainer, Input, MaskPrediction
from seedbed.refine.refiners import Words, build_refiner

_MEANS = {
    "all_classes": "all classes of the data set (a class in neither map counts 0)",
    "in_truth": "the classes that occur in the ground truth",
    "in_either": "the classes that occur in the ground truth or in the prediction",
}

_HINTS = {
    "heatmap_per_layer": "Layers are counted from 1; of more than six, six at equal distances are shown.",
    "affinity_matrix_per_layer": "Affinity matrices: a row is the patch that attends, a column the one attended to; "
    "mean over heads, from 0 (dark) to the matrix's 99th percentile (bright).",
}
_STORED = ("heatmaps", "masks", "segmentation")
"""Stages that read the maps from a file; the others explain images themselves."""
_WORDS = {"explainer": "maps", "refiner": "refined by", "segmenter": "then"}


def footnotes(table: Table, cells: Iterable[Cell], preset: Preset, seeds: Sequence[int] | None = None) -> list[str]:
    """One line a measured row, then what holds for the whole table; ``seeds`` as in ``table_cells``."""
    cells = list(cells)
    labels = {row.id: row.label for row in table.rows}
    columns = {column.id: column.title for column in table.columns}
    chains: dict[str, dict[str, list[str]]] = {}
    on = cache(preset.on)
    for cell in _of(cells, MEASURED):
        chain = describe(cell.measured, on(cell.measured.dataset))
        chains.setdefault(cell.row, {}).setdefault(chain, []).append(columns[cell.column])
    notes = []
    for row, found in chains.items():
        for chain, titles in found.items():
            which = f" ({', '.join(titles)})" if len(found) > 1 else ""
            notes.append(f"{labels[row]}{which}: {chain}.")
    notes += _conventions(_of(cells, MEASURED), labels, preset.scoring.miou)
    lacking = sorted({name for cell in _of(cells, NOT_RUN) for name in cell.missing})
    if lacking:
        notes.append(f"`not run`: preset '{preset.name}' has no {', '.join(lacking)}.")
    notes += _submissions(_of(cells, SUBMIT))
    most = max((len(cell.sources) for cell in _of(cells, MEASURED)), default=0)
    measured = [cell.measured for cell in _of(cells, MEASURED)]
    return [*notes, *_seeds(most, seeds or preset.seeds), _precision(preset, measured), *_comparability(preset)]


def figure_notes(
    figure: Figure, panels: Iterable[PlannedPanel], preset: Preset, seeds: Sequence[int] | None = None
) -> list[str]:
    """What each panel of a figure shows, which of the paper's panels are left out, and what holds for all of it."""
    panels, seeds = list(panels), seeds or preset.seeds
    chains: dict[str, list[str]] = {}
    for panel in panels:
        if panel.shows not in ("image", "truth"):
            parts = dict.fromkeys((panel.group, panel.row, panel.axes, panel.label))
            chains.setdefault(_chain(panel, preset), []).append(" ".join(part for part in parts if part))
    notes = [f"{', '.join(dict.fromkeys(labels))}: {chain}." for chain, labels in chains.items()]
    notes += [hint for shows, hint in _HINTS.items() if any(panel.shows == shows for panel in panels)]
    absent = {model for panel in figure.panels for model in panel.models if model not in preset.models}
    if absent:
        notes.append(f"Points left out: preset '{preset.name}' has no model {', '.join(sorted(absent))}.")
    left_out = [f"{panel.label} {panel.source or ''}".strip() for panel in figure.panels if panel.status == "cited"]
    if left_out:
        notes.append(f"Left out, since they are other people's images: {', '.join(left_out)}.")
    counts = [len(panel.sources) // (len(panel.places) or 1) for panel in panels]
    drawn = _seeds(max(counts), seeds) if any(counts) else [f"Seed {seeds[0]}."]
    shown = [one for panel in panels for one in _behind(panel)]
    return [*notes, *drawn, _precision(preset, shown), *_comparability(preset)]


def _chain(panel: PlannedPanel, preset: Preset) -> str:
    """What a panel is drawn from, in words."""
    measurement = measure(panel.names, preset, panel.label)[0] if panel.sources else None
    if measurement is not None:
        told = describe(measurement, preset.on(measurement.dataset))
        each = f"networks {', '.join(panel.models)}, each trained at its own place"
        return told.replace(f"network {panel.names['model']}", each, 1) if panel.models else told
    named = [f"{word} {panel.names[key]}" for key, word in _WORDS.items() if key in panel.names]
    model = panel.names["model"]
    network = f"network {model}{_classifier_start(model, preset)}"
    return ", ".join([f"{panel.names['dataset']} {panel.names['split']}", network, *named])


def checkpoint_note(record: Mapping[str, Any]) -> str:
    """Whose weights a number was measured with, from the record of a published checkpoint."""
    entry = f", its entry {record['taken']}" if record.get("taken") else ""
    what = f"{Path(record['file']).name} (sha256 {record['sha256']}{entry})"
    return f"{record['network']} on {record['dataset']}: the weights of {what}, not trained here."


def describe(measurement: Measurement, preset: Preset) -> str:
    """The chain behind a number, in words; ``preset`` as it is on the measurement's data set."""
    restricted = f" ({measurement.subset.replace('_', ' ')} images)" if measurement.subset else ""
    parts = [f"{measurement.dataset} {measurement.split}{restricted}"]
    if reads_model(measurement):
        parts.append(f"network {measurement.model}{_classifier_start(measurement.model, preset)}")
    if isinstance(measurement, MapMeasurement) and reads_model(measurement):
        explainer = preset.explainer_of(measurement.explainer, measurement.model)
        parts.append(f"maps {measurement.explainer} ({_maps(explainer, measurement.stage)})")
        if measurement.stage == "heatmaps":
            parts.append(f"background threshold {_background(measurement.metric, explainer)}, no CRF")
    if isinstance(measurement, MaskMeasurement):
        made = "refined by" if reads_model(measurement) else "masks"
        parts.append(f"{made} {measurement.refiner} ({_refiner(measurement, preset)})")
    if isinstance(measurement, SegmentationMeasurement):
        segmenter = preset.segmenters[measurement.segmenter]
        trained = preset.trained_segmenter(measurement.segmenter)
        start = _start(preset.segmenters[trained].weights, preset)
        parts.append(f"then {trained}{start} ({_prediction(segmenter.input, segmenter, preset)})")
    elif isinstance(measurement, PredictionMeasurement):
        given, how = preset.models[measurement.model].input, preset.prediction_of(measurement.model)
        parts.append(f"masks that the network predicts itself ({_prediction(given, how, preset)})")
    if measurement.stage not in SCORED:
        options = preset.protocols.get(measurement.stage, {})
        parts.append(MEASUREMENTS.find(measurement.stage).describe(options))
    return ", ".join(filter(None, parts))


def _background(metric: str, explainer: Explainer) -> str:
    """Which background a map's score is at; some metrics say it themselves, else the explainer does."""
    swept = {"miou_best": True, "miou_at_background": False}.get(metric, explainer.sweep)
    return "the best of a sweep on this split" if swept else f"fixed at {explainer.background:g}"


def _classifier_start(model: str, preset: Preset) -> str:
    """What a classifier starts from: weights, or another network, whose own start is told behind it."""
    entry = preset.models[model]
    if entry.starts_from is None:
        return _start(entry.weights, preset)
    return f" from {entry.starts_from}{_classifier_start(entry.starts_from, preset)}"


def _start(weights: str | None, preset: Preset) -> str:
    """The weights that a network starts from, which name its backbone."""
    return f" from {getattr(preset.weights[weights], 'tag', weights)}" if weights else ""


def _maps(explainer: Explainer, stage: str) -> str:
    """Input size, views and precision of maps, where a stage has them from its explainer."""
    one_view = measures(stage, "input_size")  # whatever views an explainer has for its seeds
    size, views = _size(explainer.input), "scale 1" if one_view else _views(explainer)
    if stage not in _STORED:
        return f"{size}, {views}, {explainer.precision}"
    coarse = f" at 1/{explainer.store_stride} of the size" if explainer.store_stride > 1 else ""
    exact = "" if explainer.precision == "float32" else f"computed in {explainer.precision}, "
    return f"{size}, {views}, {exact}stored as float16{coarse}"


def _size(given: Input) -> str:
    return "the image's own size" if given.size is None else "input {} x {}".format(*given.size)


def _prediction(given: Input, how: MaskPrediction, preset: Preset) -> str:
    """Input size, views and CRF of a network that predicts masks."""
    return f"{_size(given)}, {_views(how)}, {Words(0, preset.crf).crf(how.crf)}"


def _views(section: Explainer | MaskPrediction) -> str:
    scales = "/".join(f"{scale:g}" for scale in section.scales)
    return f"scale{'s' if len(section.scales) > 1 else ''} {scales}{' and mirrored' if section.flip else ''}"


def _refiner(measurement: MaskMeasurement, preset: Preset) -> str:
    read = reads_model(measurement)  # what needs no maps has no background either
    constant = preset.explainer_of(measurement.explainer, measurement.model).background if read else 0.0
    return build_refiner(preset.refiners[measurement.refiner].plain()).describe(Words(constant, preset.crf))


def _conventions(cells: Sequence[Cell], labels: Mapping[str, str], usual: str) -> list[str]:
    """Over which classes each mIoU is taken: in one line where all are alike, else with the rows of each."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        name, _, convention = cell.measured.metric.partition("_")
        if name == MIOU and convention in ("", *_MEANS):
            found.setdefault(convention or usual, []).append(labels[cell.row])
    of = {convention: f" of {', '.join(dict.fromkeys(rows))}" for convention, rows in found.items() if len(found) > 1}
    return [f"mIoU{of.get(convention, '')} is the mean over {_MEANS[convention]}." for convention in found]


def _submissions(cells: Sequence[Cell]) -> list[str]:
    """What to do about cells that only a server can measure."""
    if not cells:
        return []
    lacking = sorted({name for cell in cells for name in cell.missing})
    if lacking:
        return [f"`submit`: only the evaluation server can measure it. Its archive needs {', '.join(lacking)}."]
    archives = ", ".join(dict.fromkeys(cell.archive for cell in cells if cell.archive))
    return [f"`submit`: only the evaluation server can measure it; upload {archives}."]


def _seeds(count: int, seeds: Sequence[int]) -> list[str]:
    """What spread the numbers carry, where ``count`` is the most seeds that one of them has."""
    if count > 1:
        return [f"Mean ± standard deviation over {count} seeds ({', '.join(map(str, seeds))})."]
    return [f"One seed ({seeds[0]}); set `seeds` to see the spread."] if count else []


_TRAINED_IN = {"model": "models", "network": "affinity_networks", "segmenter": "segmenters"}


def _precision(preset: Preset, measured: Iterable[Measurement]) -> str:
    """How networks multiply, on a GPU too if the preset asks for any, and which learn in bfloat16 there."""
    if not any(entry.gpu for entry in preset.resources.values()):
        return "Networks compute in float32."
    how = {"float32": "float32, on a GPU too", "tf32": "float32, on a GPU with factors rounded to TensorFloat-32"}
    in_half, as_on = {}, cache(preset.on)
    for one in measured:
        on = as_on(one.dataset)
        for key, name in trained_on_the_way(one, on).items():
            in_half[name] = getattr(on, _TRAINED_IN[key])[name].train.bf16
    names = ", ".join(name for name, trained in in_half.items() if trained)
    return f"Networks compute in {how[preset.precision]}" + (f"; trained in bfloat16 there: {names}." if names else ".")


def _behind(panel: PlannedPanel) -> list[Measurement]:
    """The chains that a panel shows, as if each were measured."""
    names = {key: panel.names[key] for key in ("dataset", "split", *_WORDS) if key in panel.names}
    stage = "segmentation" if "segmenter" in names else "masks" if "refiner" in names else "heatmaps"
    about = {"explainer": NONE, **names, "stage": stage, "metric": ""}
    models = panel.models or [panel.names[key] for key in ("model",) if key in panel.names]  # none of an image
    return [measurement_of({**about, "model": model}) for model in models]


def _comparability(preset: Preset) -> list[str]:
    if preset.comparable:
        return []
    if replaced := preset.replaced_datasets():
        return [f"{', '.join(replaced)}: not the published images, so not comparable with the paper."]
    return [f"Preset '{preset.name}' uses stand-in data and small networks: not comparable with the paper."]


def _of(cells: Iterable[Cell], status: str) -> list[Cell]:
    return [cell for cell in cells if cell.status == status]
