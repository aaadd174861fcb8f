"""What a pipeline's ``stage`` may be: the score of an artifact, or a registered measurement."""

from typing import get_args

from seedbed.errors import ParameterError, unknown_name
from seedbed.io.registrations import registered_names, registrations
from seedbed.params.base import MiouConvention

CATALOGUE = ("seedbed.evaluate", "measurement")
_MEANS = tuple(f"miou_{convention}" for convention in get_args(MiouConvention))
_RATES = ("pixel_accuracy", "fp", "fn", "fp_over_tp", "fn_over_tp")
_OF_MASKS = ("miou", *_MEANS, *_RATES, "iou_*", "submission", "training_hours")
_OF_MAPS = ("miou_at_background", "miou_best", "background", "background_best", "curve_background", "curve_miou")
COUNTED = ("images", "undefined_maps", "skipped", "instances", "true_instances")
"""What a file of metrics says of its images."""
SCORED = {
    "heatmaps": ("explainer",),
    "masks": ("explainer", "refiner"),
    "segmentation": ("explainer", "refiner", "segmenter"),
    "prediction": (),
}
"""Artifacts whose mIoU is taken -> the names that lead to them, beside data set, split and model."""


def stages() -> tuple[str, ...]:
    """Every stage."""
    return (*SCORED, *registered_names(*CATALOGUE))


def check_stage(stage: str, where: str) -> None:
    """Raise ParameterError, with the nearest match, for what is no stage; ``where`` names the cell or panel."""
    if stage not in stages():
        raise ParameterError(f"{where}: {unknown_name('stage', str(stage), stages())}")


def known_stage(stage: str) -> str:
    """Return a stage that is one; ValueError, with the nearest match, for what is none."""
    if stage not in stages():
        raise ValueError(unknown_name("stage", stage, stages()))
    return stage


def metrics(stage: str) -> tuple[str, ...]:
    """Metrics that a stage yields, with * for what depends on the data or the options."""
    if stage in SCORED:
        return (*_OF_MASKS, *(_OF_MAPS if stage == "heatmaps" else ()), *COUNTED)
    (entry,) = registrations(*CATALOGUE)[stage]
    return (*entry.keywords["yields"].split(), *COUNTED)


def names_needed(stage: str) -> tuple[str, ...]:
    """Names that a stage's pipeline has beside data set, split and model."""
    if stage in SCORED:
        return SCORED[stage]
    return ("explainer",) if measures(stage, "maps") else ()


def measures(stage: str, what: str) -> bool:
    """Whether a measurement needs ``maps``, an ``input_size``, a ``single_label``, ``boxes``, ``masks`` or ``scoring``.

    See `seedbed.evaluate.measurements.measurement`; False for the score of an artifact.
    """
    return any(entry.keywords.get(what, what == "maps") for entry in registrations(*CATALOGUE).get(stage, ()))


def measurements(maps: bool) -> list[str]:
    """Names of the measurements of an explainer's maps, or of those of a classifier itself."""
    return [name for name in registered_names(*CATALOGUE) if measures(name, "maps") == maps]
