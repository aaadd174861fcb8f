"""From a table to the measurements it needs: which artifact holds each reproduced cell's number."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from seedbed.errors import ParameterError
from seedbed.papers.layout import NONE, Layout
from seedbed.papers.measured import SCORED, check_stage, measures, names_needed
from seedbed.papers.tables import Column, Row, Table
from seedbed.params import Preset
from seedbed.params.refiner_sections import needs

CITED, NOT_RUN, SUBMIT, MEASURED, FORECAST, NOTHING = "cited", "not run", "submit", "measured", "forecast", "nothing"
SUBMISSION = "submission"
"""The metric of cells that only an evaluation server can fill."""
TRAINING_HOURS = "training_hours"
"""The metric of cells that tell what the trainings behind a row take: a forecast, made while the plan is."""
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
    """One number of a network itself: names resolved for a preset, and the key in its file of metrics.

    A number of what is made with the network is of a kind of its own, below.
    """

    stage: str
    dataset: str
    split: str
    model: str
    metric: str
    subset: str | None = field(default=None, kw_only=True)

    def folder(self, layout: Layout, seed: int) -> str:
        """Folder of the measured artifact."""
        return f"{layout.classifier(self.dataset, self.model, seed)}/{self.split}"

    def path(self, layout: Layout, seed: int) -> str:
        """JSON file that holds the number."""
        name = f"{self.stage}_{self.subset}" if self.subset else self.stage
        return f"{self.folder(layout, seed)}/{name}.json"

    def names(self) -> dict[str, str]:
        """What it is, by field: what it has of stage, data set, split, subset, metric and the names along its chain."""
        return {key: value for key, value in asdict(self).items() if value and value != NONE}


@dataclass(frozen=True)
class PredictionMeasurement(Measurement):
    """One number of the masks that a network predicts itself."""

    def folder(self, layout: Layout, seed: int) -> str:
        """Folder of the predictions."""
        return layout.prediction(self.dataset, self.model, self.split, seed)

    def path(self, layout: Layout, seed: int) -> str:
        """JSON file that holds the number."""
        return f"{self.folder(layout, seed)}/metrics.json"


@dataclass(frozen=True)
class MapMeasurement(Measurement):
    """One number of a network's heat maps, or of what explains it."""

    explainer: str

    def folder(self, layout: Layout, seed: int) -> str:
        """Folder of the heat maps."""
        return layout.heatmaps(self.dataset, self.split, self.model, self.explainer, seed)


@dataclass(frozen=True)
class MaskMeasurement(MapMeasurement):
    """One number of pseudo masks; ``model`` and ``explainer`` are `NONE` where no heat maps are read."""

    refiner: str

    def folder(self, layout: Layout, seed: int) -> str:
        """Folder of the pseudo masks."""
        return layout.masks(self.dataset, self.split, self.model, self.explainer, self.refiner, seed)

    def path(self, layout: Layout, seed: int) -> str:
        """JSON file that holds the number."""
        return f"{self.folder(layout, seed)}/metrics.json"


@dataclass(frozen=True)
class SegmentationMeasurement(MaskMeasurement):
    """One number of what a segmentation network predicts that learned from pseudo masks."""

    segmenter: str

    def trained(self, layout: Layout, seed: int) -> str:
        """Folder of the segmentation network."""
        return layout.segmenter(self.dataset, self.model, self.explainer, self.refiner, self.segmenter, seed)

    def folder(self, layout: Layout, seed: int) -> str:
        """Folder of its predictions."""
        return f"{self.trained(layout, seed)}/{self.split}"


_KINDS: dict[str, type[Measurement]] = {
    "masks": MaskMeasurement,
    "segmentation": SegmentationMeasurement,
    "prediction": PredictionMeasurement,
}


def measurement_of(values: Mapping[str, Any]) -> Measurement:
    """Build a measurement of its stage's kind, from its fields by name.

    Raises:
        TypeError: a name is absent that its stage needs, or there is one too many.
    """
    kind = _KINDS.get(values["stage"], MapMeasurement if "explainer" in values else Measurement)
    return kind(**values)


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what it shows, and from which files.

    Attributes:
        row, column: ids.
        status: ``cited``, ``not run`` (the preset cannot make it), ``submit`` (an evaluation server measures it),
            ``measured``, ``forecast`` (what its trainings take), or ``nothing`` (neither measured nor printed).
        reported: the paper's number, in the column's unit.
        measurement: what is measured; None where nothing is.
        sources: metrics files, one a seed; empty unless measured.
        missing: what the preset lacks for it.
        archive: what is uploaded to the evaluation server, where that measures it; of the first seed.
        hours: what is forecast, where that is known.
    """

    row: str
    column: str
    status: str
    reported: float | None
    measurement: Measurement | None = None
    sources: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    archive: str | None = None
    hours: float | None = None

    @property
    def measured(self) -> Measurement:
        """What is measured.

        Raises:
            ValueError: nothing is.
        """
        if self.measurement is None:
            raise ValueError(f"row '{self.row}', column '{self.column}': {self.status}, so that nothing is measured")
        return self.measurement

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Cell":
        """Rebuild a cell from ``dataclasses.asdict``."""
        measurement = measurement_of(values["measurement"]) if values["measurement"] else None
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
    if isinstance(measurement, SegmentationMeasurement):
        if preset.checkpoint_of("segmenter", measurement.segmenter):
            return {}  # it predicts from the image alone
        found["segmenter"] = preset.trained_segmenter(measurement.segmenter)
    model = preset.models[measurement.model] if reads_model(measurement) else None
    if model is not None and model.train is not None and not preset.checkpoint_of("model", measurement.model):
        found["model"] = measurement.model
    if isinstance(measurement, MaskMeasurement):
        network = preset.network_of(measurement.refiner)
        if network is not None and not preset.checkpoint_of("refiner", measurement.refiner):
            found["network"] = network
    return found


def reads_model(measurement: Measurement) -> bool:
    """Whether anything of a classifier reaches the number: ground truth as masks needs no maps."""
    return measurement.model != NONE


def measure(pipeline: Mapping[str, Any], preset: Preset, where: str) -> tuple[Measurement | None, tuple[str, ...]]:
    """Resolve a merged pipeline: the measurement, or None and the names that the preset does not define.

    Raises:
        ParameterError: a key that the stage needs is absent; ``where`` names the cell.
    """
    stage: str = pipeline.get("stage") or ""
    if "stage" in pipeline:
        check_stage(stage, where)
    chain = ("model", *(names_needed(stage) if stage else ("explainer",)))
    without = _unread(chain, pipeline, preset)
    needed = ("dataset", "split", "metric", *(name for name in chain if name not in without))
    absent = [key for key in ("stage", *needed) if key not in pipeline]
    if absent:
        raise ParameterError(f"{where}: its pipeline lacks {', '.join(absent)}.")
    metric = _metric(pipeline, where)
    names = {key: pipeline[key] for key in needed if key in REGISTRY}
    if missing := lacking(names, preset):
        return None, missing
    names["dataset"] = preset.dataset_for(names["dataset"])
    names = preset.measured_names(names)
    about = {"stage": stage, "split": pipeline["split"], "metric": metric, "subset": pipeline.get("subset")}
    found = measurement_of({**about, **dict.fromkeys(without, NONE), **names})
    _check_needs(found, preset, where)
    return found, ()


def lacking(names: Mapping[str, Any], preset: Preset) -> tuple[str, ...]:
    """Those of a paper's names that a preset has nothing for, such as ``model vit_hybrid``."""

    def absent(key: str, name: str) -> bool:
        return preset.lacks_dataset(name) if key == "dataset" else name not in getattr(preset, REGISTRY[key])

    return tuple(f"{key} {names[key]}" for key in REGISTRY if key in names and absent(key, names[key]))


def _unread(chain: Collection[str], pipeline: Mapping[str, Any], preset: Preset) -> tuple[str, ...]:
    """Names of a chain that its refiner does not read: those of network and explainer where it needs no maps."""
    refiner = preset.refiners.get(pipeline.get("refiner", "")) if "refiner" in chain else None
    return ("model", "explainer") if refiner is not None and not needs(refiner.kind, "maps") else ()


def _check_needs(measurement: Measurement, preset: Preset, where: str) -> None:
    """Refuse a measurement that would fail once its jobs run, for want of what it declares to need."""
    stage, dataset = measurement.stage, preset.datasets[measurement.dataset]
    for what, words in (("single_label", "exactly one label an image"), ("boxes", "boxes"), ("masks", "masks")):
        given = what == "single_label" and measurement.subset == "single_class"
        if measures(stage, what) and not given and dataset.offers(what) is False:
            raise ParameterError(f"{where}: {stage} needs {words}; data set '{measurement.dataset}' has none such.")
    if isinstance(measurement, PredictionMeasurement):
        preset.on(measurement.dataset).prediction_of(measurement.model)
    learnt = isinstance(measurement, MaskMeasurement) and needs(preset.refiners[measurement.refiner].kind, "truth")
    if learnt and dataset.offers("masks") is False:
        raise ParameterError(f"{where}: ground truth needs masks; data set '{measurement.dataset}' has none such.")
    if not isinstance(measurement, MapMeasurement):
        return
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
    pipeline = table.pipeline_of(row, column)
    if pipeline is None:
        return Cell(row.id, column.id, CITED if row.status == "cited" or reported is not None else NOTHING, reported)
    where = f"{table.id}, row '{row.id}', column '{column.id}'"
    measurement, missing = measure(pipeline, preset, where)
    if measurement is None:
        return Cell(row.id, column.id, NOT_RUN, reported, missing=missing)
    if measurement.metric == TRAINING_HOURS:
        return Cell(row.id, column.id, FORECAST, reported, measurement)
    if measurement.metric == SUBMISSION:
        lacking = preset.datasets[measurement.dataset].lacks_test()
        if lacking:
            remedy = f"the test images of {measurement.dataset} (--config datasets__{measurement.dataset}__{lacking})"
            return Cell(row.id, column.id, SUBMIT, reported, measurement, missing=(remedy,))
        archive = f"{measurement.folder(layout, seeds[0])}/submission.tgz"
        return Cell(row.id, column.id, SUBMIT, reported, measurement, archive=archive)
    sources = tuple(measurement.path(layout, seed) for seed in seeds_of(measurement, preset, seeds))
    return Cell(row.id, column.id, MEASURED, reported, measurement, sources)


def histories(measurement: Measurement, preset: Preset, layout: Layout, seed: int) -> dict[str, str]:
    """Training histories behind a number: name of the network -> path of its ``history.csv``."""
    dataset, model = measurement.dataset, measurement.model
    trained, found = trained_on_the_way(measurement, preset), {}
    if "model" in trained:
        found[model] = f"{layout.classifier(dataset, model, seed)}/history.csv"
    if isinstance(measurement, MaskMeasurement) and "network" in trained:
        folder = layout.affinity(dataset, model, measurement.explainer, trained["network"], seed)
        found[trained["network"]] = f"{folder}/history.csv"
    if isinstance(measurement, SegmentationMeasurement) and "segmenter" in trained:
        there = replace(measurement, segmenter=trained["segmenter"])
        found[there.segmenter] = f"{there.trained(layout, seed)}/history.csv"
    return found


def history_of(network: str, row: str) -> str:
    """Name of a network's training among others of the same network: with the label of the row that it is of."""
    return f"{network}, {row}"


def checkpoint_records(measurement: Measurement, preset: Preset, layout: Layout, seed: int) -> list[str]:
    """Records of the published checkpoints behind a number, see ``seedbed.models.checkpoints``."""
    if isinstance(measurement, SegmentationMeasurement) and preset.checkpoint_of("segmenter", measurement.segmenter):
        return [f"{measurement.trained(layout, seed)}/checkpoint.json"]
    found, dataset, model = [], measurement.dataset, measurement.model
    if preset.checkpoint_of("model", model):
        found.append(f"{layout.classifier(dataset, model, seed)}/checkpoint.json")
    network = preset.network_of(measurement.refiner) if isinstance(measurement, MaskMeasurement) else None
    if isinstance(measurement, MaskMeasurement) and network and preset.checkpoint_of("affinity_network", network):
        found.append(f"{layout.affinity(dataset, model, measurement.explainer, network, seed)}/checkpoint.json")
    return found
