"""From a table to the measurements it needs: which artifact holds each reproduced cell's number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed.errors import ParameterError
from seedbed.papers.layout import Layout
from seedbed.papers.measured import SCORED, check_stage, measures, names_needed
from seedbed.papers.tables import Column, Row, Table
from seedbed.params import Preset
from seedbed.params.refiner_sections import needs

CITED, NOT_RUN, SUBMIT, MEASURED = "cited", "not run", "submit", "measured"
SUBMISSION = "submission"
"""The metric of cells that only an evaluation server can fill."""
REGISTRY = {
    "dataset": "datasets",
    "model": "models",
    "explainer": "explainers",
    "refiner": "refiners",
    "segmenter": "segmenters",
}
MIOU = "miou"


@dataclass(frozen=True)
class Measurement:
    """One number: a chain of names resolved for a preset, and the key in its ``metrics.json``.

    ``model`` and ``explainer`` are None where masks are made without maps, by ground truth.
    """

    stage: str
    dataset: str
    split: str
    model: str | None
    metric: str
    explainer: str | None = None
    refiner: str | None = None
    segmenter: str | None = None
    subset: str | None = None

    def folder(self, layout: Layout, seed: int) -> str:
        """Folder of the measured artifact."""
        if self.stage == "segmentation":
            names = (self.dataset, self.model, self.explainer, self.refiner, self.segmenter)
            return f"{layout.segmenter(*names, seed)}/{self.split}"
        if self.stage == "masks":
            return layout.masks(self.dataset, self.split, self.model, self.explainer, self.refiner, seed)
        if self.stage == "prediction":
            return layout.prediction(self.dataset, self.model, self.split, seed)
        if self.explainer is None:
            return f"{layout.classifier(self.dataset, self.model, seed)}/{self.split}"
        return layout.heatmaps(self.dataset, self.split, self.model, self.explainer, seed)

    def path(self, layout: Layout, seed: int) -> str:
        """JSON file that holds the number."""
        if self.stage in ("segmentation", "masks", "prediction"):
            return f"{self.folder(layout, seed)}/metrics.json"
        name = f"{self.stage}_{self.subset}" if self.subset else self.stage
        return f"{self.folder(layout, seed)}/{name}.json"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what it shows, and from which files.

    Attributes:
        row, column: ids.
        status: ``cited``, ``not run`` (the preset cannot make it), ``submit`` (an evaluation server measures it) or
            ``measured``.
        reported: the paper's number, in the column's unit.
        measurement: what is measured; None where nothing is.
        sources: metrics files, one a seed; empty unless measured.
        missing: what the preset lacks for it.
        archive: what is uploaded to the evaluation server, where that measures it; of the first seed.
    """

    row: str
    column: str
    status: str
    reported: float | None
    measurement: Measurement | None = None
    sources: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    archive: str | None = None

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Cell":
        """Rebuild a cell from ``dataclasses.asdict``."""
        measurement = Measurement(**values["measurement"]) if values["measurement"] else None
        lists = {key: tuple(values[key]) for key in ("sources", "missing")}
        return cls(**{**values, **lists, "measurement": measurement})


def table_cells(table: Table, preset: Preset, layout: Layout, seeds: Sequence[int] | None = None) -> list[Cell]:
    """Every cell of the table, row by row.

    Args:
        table, preset, layout: what is measured, with which parameters, and where it lies.
        seeds: of what is trained; the preset's by default.

    Raises:
        ParameterError: a pipeline lacks a key that its stage needs.
    """
    seeds = tuple(seeds or preset.seeds)
    return [_cell(table, row, column, preset, layout, seeds) for row in table.rows for column in table.columns]


def missing_names(cells: Iterable[Cell]) -> tuple[str, ...]:
    """What the preset lacks for the cells it cannot make, sorted."""
    return tuple(sorted({name for cell in cells for name in cell.missing}))


def seeds_of(measurement: Measurement, preset: Preset, seeds: Sequence[int]) -> Sequence[int]:
    """Those of ``seeds`` that a measurement needs: where nothing is trained on the way to it, one stands for all."""
    return seeds if trained_on_the_way(measurement, preset) else seeds[:1]


def trained_on_the_way(measurement: Measurement, preset: Preset) -> dict[str, str]:
    """Networks that are trained for a measurement: ``model``, ``network`` (of affinities), ``segmenter`` -> name."""
    found = {}
    if measurement.segmenter is not None:
        if preset.checkpoint_of("segmenter", measurement.segmenter):
            return {}  # it predicts from the picture alone
        found["segmenter"] = measurement.segmenter
    model = preset.models[measurement.model] if measurement.model else None
    if model and model.train is not None and not preset.checkpoint_of("model", measurement.model):
        found["model"] = measurement.model
    network = getattr(preset.refiners[measurement.refiner], "network", None) if measurement.refiner else None
    if network is not None and not preset.checkpoint_of("refiner", measurement.refiner):
        found["network"] = network
    return found


def measure(pipeline: Mapping[str, str], preset: Preset, where: str) -> tuple[Measurement | None, tuple[str, ...]]:
    """Resolve a merged pipeline: the measurement, or None and the names that the preset does not define.

    Raises:
        ParameterError: a key that the stage needs is absent; ``where`` names the cell.
    """
    stage = pipeline.get("stage")
    if stage is not None:
        check_stage(stage, where)
    needed = ("dataset", "split", "metric", *_chain_of(pipeline, preset))
    absent = [key for key in ("stage", *needed) if key not in pipeline]
    if absent:
        raise ParameterError(f"{where}: its pipeline lacks {', '.join(absent)}.")
    metric = _metric(pipeline, where)
    names = {key: pipeline[key] for key in needed if key in REGISTRY}
    names["dataset"] = preset.dataset_for(names["dataset"])
    missing = tuple(f"{key} {name}" for key, name in names.items() if name not in getattr(preset, REGISTRY[key]))
    if missing:
        return None, missing
    names = {"model": None, **preset.measured_names(names)}
    found = Measurement(stage=stage, split=pipeline["split"], metric=metric, subset=pipeline.get("subset"), **names)
    _check_needs(found, preset, where)
    return found, ()


def _chain_of(pipeline: Mapping[str, str], preset: Preset) -> tuple[str, ...]:
    """Names that lead from a data set to the number: no network and no explainer where a refiner needs no maps."""
    stage, refiner = pipeline.get("stage"), pipeline.get("refiner")
    names = ("model", *(names_needed(stage) if stage else ("explainer",)))
    if "refiner" in names and refiner in preset.refiners and not _needs(preset, refiner, "maps"):
        return names[names.index("refiner") :]
    return names


def _needs(preset: Preset, refiner: str | None, what: str) -> bool:
    return refiner in preset.refiners and needs(preset.refiners[refiner].kind, what)


def _check_needs(measurement: Measurement, preset: Preset, where: str) -> None:
    """Refuse a measurement that would fail once its jobs run, for want of what it declares to need."""
    stage, dataset = measurement.stage, preset.datasets[measurement.dataset]
    if stage == "prediction":
        preset.on(measurement.dataset).prediction_of(measurement.model)
    for what, words in (("single_label", "exactly one label an image"), ("boxes", "boxes"), ("masks", "masks")):
        given = what == "single_label" and measurement.subset == "single_class"
        learnt = what == "masks" and _needs(preset, measurement.refiner, "truth")
        if (learnt or measures(stage, what)) and not given and dataset.offers(what) is False:
            by = f"refiner '{measurement.refiner}'" if learnt else stage
            raise ParameterError(f"{where}: {by} needs {words}; data set '{measurement.dataset}' has none such.")
    if measures(stage, "input_size") and not preset.protocols.get(stage, {}).get("size"):
        explainer = preset.on(measurement.dataset).explainer_of(measurement.explainer, measurement.model)
        if explainer.input.size is None:
            raise ParameterError(
                f"{where}: {stage} needs images of one size, but explainers.{measurement.explainer} has no input.size. "
                f"Give it one, or set protocols.{stage}.size."
            )


def _metric(pipeline: Mapping[str, str], where: str) -> str:
    """The key of the number: mIoU's own where the pipeline names over which classes the mean is taken."""
    convention, stage, metric = pipeline.get("miou"), pipeline["stage"], pipeline["metric"]
    if convention is None or (stage in SCORED and metric != MIOU):
        return metric
    if stage not in SCORED:
        raise ParameterError(f"{where}: miou chooses among the means of {', '.join(SCORED)}, not of {stage}.")
    return f"{MIOU}_{convention}"


def _cell(table: Table, row: Row, column: Column, preset: Preset, layout: Layout, seeds: tuple[int, ...]) -> Cell:
    reported = row.reported.get(column.id)
    if row.status == "cited":
        return Cell(row.id, column.id, CITED, reported)
    pipeline = {**table.pipeline, **column.pipeline, **row.pipeline, **row.cells.get(column.id, {})}
    where = f"{table.id}, row '{row.id}', column '{column.id}'"
    measurement, missing = measure(pipeline, preset, where)
    if measurement is None:
        return Cell(row.id, column.id, NOT_RUN, reported, missing=missing)
    if measurement.metric == SUBMISSION:
        lacking = preset.datasets[measurement.dataset].lacks_test()
        if lacking:
            remedy = f"the test pictures of {measurement.dataset} (--config datasets__{measurement.dataset}__{lacking})"
            return Cell(row.id, column.id, SUBMIT, reported, measurement, missing=(remedy,))
        archive = f"{measurement.folder(layout, seeds[0])}/submission.tgz"
        return Cell(row.id, column.id, SUBMIT, reported, measurement, archive=archive)
    sources = tuple(measurement.path(layout, seed) for seed in seeds_of(measurement, preset, seeds))
    return Cell(row.id, column.id, MEASURED, reported, measurement, sources)


def histories(measurement: Measurement, preset: Preset, layout: Layout, seed: int) -> dict[str, str]:
    """Training histories behind a number: name of the network -> path of its ``history.csv``."""
    chain = (measurement.dataset, measurement.model, measurement.explainer)
    trained, found = trained_on_the_way(measurement, preset), {}
    if "model" in trained:
        found[measurement.model] = f"{layout.classifier(*chain[:2], seed)}/history.csv"
    if "network" in trained:
        found[trained["network"]] = f"{layout.affinity(*chain, trained['network'], seed)}/history.csv"
    if "segmenter" in trained:
        names = (*chain, measurement.refiner, measurement.segmenter)
        found[measurement.segmenter] = f"{layout.segmenter(*names, seed)}/history.csv"
    return found


def checkpoint_records(measurement: Measurement, preset: Preset, layout: Layout, seed: int) -> list[str]:
    """Records of the published checkpoints behind a number, see ``seedbed.models.checkpoints``."""
    chain = (measurement.dataset, measurement.model, measurement.explainer)
    if preset.checkpoint_of("segmenter", measurement.segmenter):
        names = (*chain, measurement.refiner, measurement.segmenter)
        return [f"{layout.segmenter(*names, seed)}/checkpoint.json"]
    found = []
    if preset.checkpoint_of("model", measurement.model):
        found.append(f"{layout.classifier(*chain[:2], seed)}/checkpoint.json")
    if preset.checkpoint_of("refiner", measurement.refiner):
        network = preset.refiners[measurement.refiner].network
        found.append(f"{layout.affinity(*chain, network, seed)}/checkpoint.json")
    return found
