"""Pseudo masks of whole images: heat maps through a refiner, down to one label a pixel."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.workers import Workers
from seedbed.errors import DataError, ParameterError
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.masks import VOID
from seedbed.refine.background import with_background, with_constant_background
from seedbed.refine.crf import dense_crf_labels
from seedbed.refine.resize import at_picture_size
from seedbed.settings.checked import checked
from seedbed.settings.dense_crf import CrfSettings

RefineFunction = Callable[..., np.ndarray]
"""From an image (uint8 [H, W, 3]), its maps at its size, and what a network saw in it, if one looks, to positions in
``[background, *classes, void]``, [H, W]."""


def pseudo_masks(
    index: DataIndex,
    records: Sequence[Record],
    heatmaps: Mapping[str, HeatMaps],
    refine: RefineFunction,
    *,
    see: Callable[[np.ndarray], np.ndarray] | None = None,
    workers: Workers | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (image id, uint8 [H, W] mask: 0 background, class index + 1, 255 void) of each image.

    Only the classes that an image's heat maps hold appear in its mask; an image without any is all background.

    Args:
        index, records, heatmaps: the images and their maps.
        refine: makes masks.
        see: runs a network on an image; its result is a further argument of ``refine``.
        workers: do all but that; ``refine`` must then be one that can be pickled. None: this process does it.

    Raises:
        DataError: heat maps were made from an image of another size, or a class does not fit into a mask of bytes.
    """
    if len(index.classes) >= VOID:
        raise DataError(f"{index.root}: masks hold {VOID - 1} classes at most, not {len(index.classes)}.")
    maker = _Maker(refine)
    items = _seen(index, records, heatmaps, see)
    yield from map(maker, items) if workers is None else workers.map(maker, items, chunk=1)


class _Item(NamedTuple):
    """An image with its maps, and what a network saw in it."""

    image: str
    pixels: np.ndarray
    heat: HeatMaps
    seen: tuple[np.ndarray, ...]


def _seen(
    index: DataIndex,
    records: Sequence[Record],
    heatmaps: Mapping[str, HeatMaps],
    see: Callable[[np.ndarray], np.ndarray] | None,
) -> Iterator[_Item]:
    images = read_ahead(records, lambda record: (record, read_picture(index.root / record.path)))
    for record, image in images:
        heat = heatmaps[record.image]
        if heat.size != image.shape[:2]:
            raise DataError(f"{record.path}: is {image.shape[:2]}, but its heat maps were made for {heat.size}.")
        yield _Item(record.image, image, heat, (see(image),) if see and len(heat.classes) else ())


@dataclass(frozen=True)
class _Maker:
    """From an item to its image's id and mask."""

    refine: RefineFunction

    def __call__(self, item: _Item) -> tuple[str, np.ndarray]:
        heat = at_picture_size(item.heat)
        labels = np.concatenate([[0], heat.classes + 1, [VOID]]).astype(np.uint8)
        found = len(heat.classes) > 0
        positions = self.refine(item.pixels, heat, *item.seen) if found else np.zeros(heat.size, np.int64)
        return item.image, labels[positions]


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
