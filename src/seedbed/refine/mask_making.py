"""Pseudo masks of whole images: heat maps through a refiner, down to one label a pixel."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError, ParameterError
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.masks import VOID
from seedbed.refine.background import with_background, with_constant_background
from seedbed.refine.crf import dense_crf_labels
from seedbed.refine.resize import at_picture_size
from seedbed.settings.checked import checked
from seedbed.settings.dense_crf import CrfSettings

RefineFunction = Callable[[np.ndarray, HeatMaps], np.ndarray]
"""From an image (uint8 [H, W, 3]) and its maps at its size to positions in ``[background, *classes]``, [H, W]."""


def pseudo_masks(
    index: DataIndex, records: Sequence[Record], heatmaps: Mapping[str, HeatMaps], refine: RefineFunction
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (image id, uint8 [H, W] mask: 0 background, class index + 1) of each image.

    Only the classes that an image's heat maps hold appear in its mask; an image without any is all background.

    Raises:
        DataError: heat maps were made from an image of another size, or a class does not fit into a mask of bytes.
    """
    if len(index.classes) >= VOID:
        raise DataError(f"{index.root}: masks hold {VOID - 1} classes at most, not {len(index.classes)}.")
    images = read_ahead(records, lambda record: (record, read_picture(index.root / record.path)))
    for record, image in images:
        heat = at_picture_size(heatmaps[record.image])
        if heat.size != image.shape[:2]:
            raise DataError(f"{record.path}: is {image.shape[:2]}, but its heat maps were made for {heat.size}.")
        labels = np.concatenate([[0], heat.classes + 1]).astype(np.uint8)
        positions = refine(image, heat) if len(heat.classes) else np.zeros(image.shape[:2], np.int64)
        yield record.image, labels[positions]


@checked
def argmax_refiner(background: float) -> RefineFunction:
    """The largest map, or background where none exceeds the constant."""
    return lambda image, heat: with_constant_background(heat.maps, background).argmax(0)


@checked
def crf_refiner(crf: CrfSettings, alpha: float | None, background: float | None) -> RefineFunction:
    """Dense CRF over the maps and a background of ``(1 - max map) ** alpha``, or the constant where alpha is None."""
    return lambda image, heat: dense_crf_labels(image, score_stack(heat.maps, alpha, background), crf)


@checked
def score_stack(maps: np.ndarray, alpha: float | None, background: float | None) -> np.ndarray:
    """Maps [K, H, W] clipped to 0..1 under a background channel, [K + 1, H, W]."""
    maps = np.clip(maps, 0, 1)
    if alpha is not None:
        return with_background(maps, alpha)
    if background is None:
        raise ParameterError("Maps need a background to compete with: an exponent alpha or a constant.")
    return with_constant_background(maps, background)
