"""Boxes around the map against true boxes (AGCAM, tables 1-3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from seedbed.evaluate.localization import BoxLocalization
from seedbed.evaluate.measurements import Counts, Measurement, explains_target, measurement, merge_counts
from seedbed.evaluate.protocols.boxed_maps import boxed_maps

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


@measurement(
    "localization", yields="pixel_accuracy iou dice precision recall", input_size=True, single_label=True, boxes=True
)
class Localization(Measurement):
    """Boxes of one class.

    Args:
        explained: ``predicted`` (as published) or ``target``; they differ where wrong predictions are scored.
        **options: those of `BoxLocalization`.
    """

    def __init__(self, *, explained: Literal["predicted", "target"] = "predicted", **options: Any) -> None:
        self.target, self.test = explains_target(explained), BoxLocalization(**options)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test = setting.counter(self.test)
        for one in boxed_maps(setting, target=self.target, without=", so it cannot be localised"):
            test.update(one.heat, one.boxes, label=one.label, predicted=one.predicted)
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        return merge_counts(BoxLocalization, shards)
