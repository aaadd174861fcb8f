"""Which fields of a network's section decide the weights that its training ends with."""

from dataclasses import fields
from typing import Any

from seedbed.params.base import Section
from seedbed.train.settings import TrainSettings

_NAMES = {"weights", "classifier", "checkpoint", "per_dataset"}  # of what is known by its content, or is another result
_SETTINGS = {field.name for field in fields(TrainSettings)}  # `fit` adds those that matter


def what_trains(section: Section, **later: Any) -> dict[str, Any]:
    """The section as plain values, without names, without training settings, and without what is used ``later``.

    Args:
        section: a network's section with a field ``train``.
        later: fields that only matter to what is done with the trained network, or to what its inputs were made by,
            as pydantic's ``exclude`` takes them.
    """
    left_out = {**dict.fromkeys(_NAMES, True), "train": _SETTINGS, **later}
    return {"network": section.model_dump(mode="json", exclude=left_out)}
