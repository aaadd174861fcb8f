"""Names in ``papers/*.yaml``, checked before a job: what a preset lacks is not run, what none has is refused."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from seedbed.errors import nearest, unknown_name
from seedbed.papers.figures import CHARTS, REPRODUCED
from seedbed.papers.measured import metrics
from seedbed.papers.plan import REGISTRY, Measurement, measure, trained_on_the_way
from seedbed.papers.tables import Figure, Paper, Row, Table
from seedbed.params import Preset
from seedbed.params.merging import merge
from seedbed.params.refiner_sections import needs
from seedbed.plan.checks import raise_for
from seedbed.plan.class_names import class_names

Known = Mapping[str, set[str]]
Pipeline = Mapping[str, Any]


def check_papers(papers: Mapping[str, Paper], preset: Preset, config: Mapping[str, Any]) -> None:
    """Check what every table and figure asks for.

    Args:
        papers: by id.
        preset: the chosen preset.
        config: the parameters with all presets; what one of them defines is a name.

    Raises:
        ParameterError: naming the place, the word and its nearest match, of each that is wrong.
    """
    known = _known_names(preset, config)
    found: dict[tuple[str, str, str], str] = {}
    for paper in papers.values():
        of_tables = ((table.id, _of_table(table, preset, known)) for table in paper.tables)
        of_figures = ((figure.id, _of_figure(figure, preset, known)) for figure in paper.figures)
        for part, problems in (*of_tables, *of_figures):
            for place, problem in problems:
                found.setdefault((paper.id, part, problem), place)
    raise_for([f"papers/{paper}.yaml, {part}{place}: {problem}" for (paper, part, problem), place in found.items()])


def _known_names(preset: Preset, config: Mapping[str, Any]) -> Known:
    """Names that some preset defines, by section."""
    presets = [merge(config.get("common") or {}, values) for values in (config.get("presets") or {}).values()]
    presets += [preset.plain()]
    known = {
        section: {name for values in presets for name in values.get(section) or ()} for section in REGISTRY.values()
    }
    known["datasets"] |= {name for values in presets for name in values.get("stand_ins") or ()}
    return known


def _of_table(table: Table, preset: Preset, known: Known) -> Iterator[tuple[str, str]]:
    for row in table.rows:
        for column in table.columns:
            place = f", row '{row.id}', column '{column.id}'"
            pipeline = table.pipeline_of(row, column)
            if pipeline is None:
                continue
            problems = [*_of_names(pipeline, known), *_of_supervision(pipeline, row, preset)]
            if not problems:
                problems += _of_measurement(pipeline, preset, f"{table.id}{place}")
            yield from ((place, problem) for problem in problems)


def _of_figure(figure: Figure, preset: Preset, known: Known) -> Iterator[tuple[str, str]]:
    for group in figure.groups or (None,):
        for panel in figure.panels:
            if panel.status != REPRODUCED:
                continue
            place = f", panel '{panel.label}'"
            pipeline: dict[str, Any] = {**figure.pipeline, **(group.pipeline if group else {}), **panel.pipeline}
            problems = [*_of_names(pipeline, known), *_of_subjects(figure, pipeline)]
            problems += [problem for model in panel.models for problem in _of_names({"model": model}, known)]
            if panel.shows in CHARTS and not problems:
                problems += _of_measurement(pipeline, preset, f"{figure.id}{place}")
                level = {**pipeline, "metric": panel.level or pipeline.get("metric", "")}
                problems += _of_metric(level)
            yield from ((place, problem) for problem in problems)


def _of_names(pipeline: Pipeline, known: Known) -> Iterator[str]:
    for key, section in REGISTRY.items():
        if key in pipeline and pipeline[key] not in known[section]:
            near = nearest(pipeline[key], known[section])
            yield f"{key}: no preset has the {key} '{pipeline[key]}'.{near}"


def _of_metric(pipeline: Pipeline) -> Iterator[str]:
    stage, metric = pipeline.get("stage"), pipeline.get("metric")
    if stage and metric and not any(fnmatchcase(metric, pattern) for pattern in metrics(stage)):
        yield f"metric: {unknown_name(f'metric of {stage}', metric, metrics(stage))}"


def _of_measurement(pipeline: Pipeline, preset: Preset, where: str) -> Iterator[str]:
    yield from _of_metric(pipeline)
    measurement, _ = measure(pipeline, preset, where)
    if measurement is not None:
        yield from _of_splits(measurement, preset)


def _of_splits(measurement: Measurement, preset: Preset) -> Iterator[str]:
    """Splits that the data set has not: what is measured on, and what the networks on the way are trained on."""
    splits = preset.datasets[measurement.dataset].splits()
    if splits is None:
        return
    if measurement.split not in splits:
        yield f"split: {unknown_name(f'split of {measurement.dataset}', measurement.split, splits)}"
    there, sections = preset.on(measurement.dataset), {"model": "models", "network": "affinity_networks"}
    for key, name in trained_on_the_way(measurement, preset).items():
        section = sections.get(key, "segmenters")
        entry = getattr(there, section)[name]
        for option, split in {"train.split": entry.train.split, "held_out": getattr(entry, "held_out", None)}.items():
            if split is not None and split not in splits:
                text = unknown_name(f"split of {measurement.dataset}", split, splits)
                yield f"presets.{preset.name}.{section}.{name}.{option}: {text}"


def _of_supervision(pipeline: Pipeline, row: Row, preset: Preset) -> Iterator[str]:
    refiner = preset.refiners.get(pipeline.get("refiner", ""))
    if refiner is not None and needs(refiner.kind, "truth") and row.supervision != "F":
        yield f"refiner: '{pipeline['refiner']}' is ground truth, so the row's supervision is F, not {row.supervision}."


def _of_subjects(figure: Figure, pipeline: Pipeline) -> Iterator[str]:
    """Subjects of a gallery that the paper's data set has no class for, where its classes are known without files."""
    dataset = pipeline.get("dataset", "")
    classes = class_names(dataset) or ()
    for subject in figure.subjects if classes else ():
        if subject not in classes:
            yield f"subjects: {unknown_name(f'class of {dataset}', subject, classes)}"
