"""Peaks of maps against true boxes: what AGCAM claims of them and does not measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from seedbed.errors import DataError
from seedbed.evaluate.localization import scale_boxes
from seedbed.evaluate.measurements import Counts, Measurement, explains_target, measurement, merge_counts
from seedbed.evaluate.peaks import PeakTest

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
        for batch in setting.batches():
            predicted = setting.logits(batch).argmax(1)
            classes = setting.labels(batch) if self.target else predicted
            maps = setting.maps(batch.inputs, classes[:, None])[:, 0].cpu().numpy()
            for record, heat, guess in zip(batch.records, maps, predicted.tolist(), strict=True):
                if not record.boxes:
                    raise DataError(f"{setting.index.root}: image '{record.image}' has no box for a peak to lie in.")
                corners = [(box.xmin, box.ymin, box.xmax, box.ymax) for box in record.boxes]
                boxes = scale_boxes(corners, record.size, heat.shape)
                test.update(heat, boxes, label=setting.label(record), predicted=guess)
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        return merge_counts(PeakTest, shards)
