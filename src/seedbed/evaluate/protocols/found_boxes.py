"""Boxes around the map against true boxes (AGCAM, tables 1-3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from seedbed.errors import DataError
from seedbed.evaluate.localization import BoxLocalization, scale_boxes
from seedbed.evaluate.measurements import Counts, Measurement, explains_target, measurement, merge_counts

if TYPE_CHECKING:
    from seedbed.data.index import DataIndex, Record
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
        for batch in setting.batches():
            predicted = setting.logits(batch).argmax(1)
            classes = setting.labels(batch) if self.target else predicted
            maps = setting.maps(batch.inputs, classes[:, None])[:, 0].cpu().numpy()
            for record, heat, guess in zip(batch.records, maps, predicted.tolist(), strict=True):
                boxes = scale_boxes(_boxes(setting.index, record), record.size, heat.shape)
                test.update(heat, boxes, label=setting.label(record), predicted=guess)
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        return merge_counts(BoxLocalization, shards)


def _boxes(index: DataIndex, record: Record) -> list[tuple[int, int, int, int]]:
    if not record.boxes:
        raise DataError(f"{index.root}: image '{record.image}' has no box, so it cannot be localised.")
    return [(box.xmin, box.ymin, box.xmax, box.ymax) for box in record.boxes]
