"""Peaks of maps against true boxes: what AGCAM claims of them and does not measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from seedbed.evaluate.measurements import Counts, Measurement, explains_target, measurement, merge_counts
from seedbed.evaluate.peaks import PeakTest
from seedbed.evaluate.protocols.boxed_maps import boxed_maps

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


@measurement(
    "peaks",
    yields="peaks_outside instances_hit instances_hit_one instances_hit_several images_several",
    input_size=True,
    single_label=True,
    boxes=True,
)
class Peaks(Measurement):
    """Peaks of one class, on the images that the localisation is measured on.

    Args:
        explained: ``predicted`` or ``target``; they differ where wrong predictions are scored.
        **options: those of `PeakTest`.
    """

    def __init__(self, *, explained: Literal["predicted", "target"] = "predicted", **options: Any) -> None:
        self.target, self.test = explains_target(explained), PeakTest(**options)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test = setting.counter(self.test)
        for one in boxed_maps(setting, target=self.target, without=" for a peak to lie in"):
            test.update(one.heat, one.boxes, label=one.label, predicted=one.predicted)
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        return merge_counts(PeakTest, shards)
