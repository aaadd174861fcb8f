"""What decides the weights that a training ends with, among its parameters: a resume state belongs to that."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from seedbed.settings.optimisation import TrainSettings

_NAMES = {"weights", "starts_from", "texts", "classifier", "checkpoint", "per_dataset"}
"""Of what its content tells, or of another result."""
_OPTIMISATION = {field.name for field in fields(TrainSettings)}  # `fit` adds those that matter
_VIEW = {"size", "interpolation"}  # of an input when it is measured; training reads its normalisation
_LATER: dict[str, Mapping[str, Collection[str] | None]] = {
    "classifier": {"input": _VIEW, "held_out": None, "prediction": None},
    "affinity": {"labels": {"crf", "alpha_low", "alpha_high", "constants", "among", "image", "store_stride"}},
    "segmentation": {
        "input": _VIEW,
        **dict.fromkeys(("scales", "flip", "short_side", "longest_side", "window", "scaling", "rounding", "fusion")),
        **dict.fromkeys(("unmirrored", "crf", "crf_image", "crf_labels")),
    },
}
"""Fields, or fields of a field, that matter to what is done with the network, or to what its inputs were made by."""
_NEUTRAL = ("save_every_seconds", "log_every", "loader_workers", "compute_threads")


def what_trains(kind: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """A network's section without names, without optimisation settings, and without what is used before or later.

    Args:
        kind: ``classifier``, ``affinity`` or ``segmentation``.
        section: plain values of the section, with a field ``train``; see `seedbed.params.absent_values`.
    """
    left_out = {**dict.fromkeys(_NAMES), "train": _OPTIMISATION, **_LATER[kind]}
    found = {key: value for key, value in section.items() if left_out.get(key, ()) is not None}
    for key, nested in left_out.items():
        if nested is not None and isinstance(found.get(key), Mapping):
            found[key] = {name: value for name, value in found[key].items() if name not in nested}
    return {"network": found}


def deciding_settings(settings: TrainSettings) -> dict[str, Any]:
    """The optimisation settings that decide the weights on any machine.

    ``compute_threads`` is not among them: it matters on a CPU alone, and `seedbed.train.loop.fit` adds it there.
    """
    return {key: value for key, value in asdict(settings).items() if key in _OPTIMISATION and key not in _NEUTRAL}


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The deciding settings of an older state: an option that it does not know stands for its default."""
    known = {f.name: f.default for f in fields(TrainSettings) if f.default is not MISSING and f.name not in _NEUTRAL}
    return {**known, **settings}
