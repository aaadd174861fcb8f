"""Maps as soft segmentations of the foreground (Chefer et al.; [Re], table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from seedbed.evaluate.measurements import Counts, Measurement, explains_target, measurement, merge_counts
from seedbed.evaluate.soft_segmentation import SoftSegmentation

if TYPE_CHECKING:
    from seedbed.data.index import DataIndex, Record
    from seedbed.evaluate.protocols.setting import Setting


@measurement(
    "soft_segmentation",
    yields="pixel_accuracy iou_background iou_foreground miou map f1 f1_rows",
    input_size=True,
    masks=True,
)
class Foreground(Measurement):
    """Foreground against background.

    Args:
        explained: ``predicted`` (as published) or ``target``, the image's label.
        **options: those of `SoftSegmentation`.
    """

    def __init__(self, *, explained: Literal["predicted", "target"] = "predicted", **options: Any) -> None:
        self.target, self.test = explains_target(explained), SoftSegmentation(**options)

    def count(self, setting: Setting) -> Counts:
        """See `Measurement`."""
        test = setting.counter(self.test)
        for batch in setting.batches():
            classes = setting.labels(batch) if self.target else setting.logits(batch).argmax(1)
            maps = setting.maps(batch.inputs, classes[:, None])[:, 0]
            for record, heat in zip(batch.records, maps.cpu().numpy(), strict=True):
                test.update(heat, _foreground(setting.index, record, heat.shape))
        return test.to_dict()

    @classmethod
    def merge(cls, shards: Sequence[Counts]) -> dict[str, Any]:
        """See `Measurement`."""
        return merge_counts(SoftSegmentation, shards)


def _foreground(index: DataIndex, record: Record, size: tuple[int, ...]) -> np.ndarray:
    """Ground truth at the map's size by nearest neighbour: 1 foreground, 0 background, -1 void."""
    from seedbed.evaluate.scoring import ground_truth

    height, width = size
    mask = Image.fromarray(ground_truth(index, record)).resize((width, height), Image.Resampling.NEAREST)
    labels = np.asarray(mask)
    return np.where(labels == 255, -1, (labels > 0).astype(np.int64))
