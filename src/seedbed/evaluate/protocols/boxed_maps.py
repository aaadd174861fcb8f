"""Maps of one class of each image beside its true boxes: what measurements against boxes count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seedbed.errors import DataError
from seedbed.evaluate.localization import scale_boxes

if TYPE_CHECKING:
    from seedbed.evaluate.protocols.setting import Setting


class BoxedMap(NamedTuple):
    """One image's map.

    Attributes:
        heat: float [H, W], of the explained class, at the input's size.
        boxes: [n, 4] (xmin, ymin, xmax, ymax) of each true box, scaled to the map.
        label, predicted: the image's class and the network's.
    """

    heat: np.ndarray
    boxes: np.ndarray
    label: int
    predicted: int


def boxed_maps(setting: Setting, *, target: bool, without: str) -> Iterator[BoxedMap]:
    """Explain the shard's images.

    Args:
        setting: the network, the images and how they are explained.
        target: explain the image's class, not the predicted one.
        without: what an image without a box is wrong for, in the error's words.

    Raises:
        DataError: an image has no box, or not exactly one label.
    """
    for batch in setting.batches():
        predicted = setting.logits(batch).argmax(1)
        classes = setting.labels(batch) if target else predicted
        maps = setting.maps(batch.inputs, classes[:, None])[:, 0].cpu().numpy()
        for record, heat, guess in zip(batch.records, maps, predicted.tolist(), strict=True):
            if not record.boxes:
                raise DataError(f"{setting.index.root}: image '{record.image}' has no box{without}.")
            corners = [(box.xmin, box.ymin, box.xmax, box.ymax) for box in record.boxes]
            yield BoxedMap(heat, scale_boxes(corners, record.size, heat.shape), setting.label(record), guess)
