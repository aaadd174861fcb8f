"""Changes of an image whose effect on a heat map is known: mirrored, scaled, moved, other colours.

Each is drawn for one image and says how a map of the changed image is brought back to the frame of the original, and
where there both maps are defined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as pixels

Region = tuple[slice, slice]
WHOLE: Region = (slice(None), slice(None))


class Change(NamedTuple):
    """A change of one image [3, H, W] in 0..1.

    Attributes:
        image: gives the changed image, [3, H, W] in 0..1.
        back: brings maps of the changed image [K, H, W] to ``region`` of the original's frame, [K, h, w].
        region: rows and columns of the original that the changed image shows.
    """

    image: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    region: Region = WHOLE


def mirrored() -> Change:
    """Left and right change places."""
    return Change(lambda image: image.flip(-1), lambda maps: maps.flip(-1))


def scaled(factor: float, size: tuple[int, int]) -> Change:
    """Enlarged or made smaller about the middle, in a frame of the same size; a border that appears repeats the edge.

    Args:
        factor: above 0. Above 1 the frame cuts the image, and the maps are compared on what is left.
        size: (H, W).
    """
    if factor <= 1:
        inner = _middle((max(1, round(size[0] * factor)), max(1, round(size[1] * factor))), size)
        return Change(
            lambda image: _framed(_resized(image, _sides(inner)), inner, size),
            lambda maps: _resized(maps[:, inner[0], inner[1]], size),
        )
    inner = _middle((max(1, round(size[0] / factor)), max(1, round(size[1] / factor))), size)
    return Change(
        lambda image: _resized(image[:, inner[0], inner[1]], size),
        lambda maps: _resized(maps, _sides(inner)),
        inner,
    )


def shifted(down: int, right: int, size: tuple[int, int]) -> Change:
    """Moved by whole pixels; the border that appears repeats the edge.

    Args:
        down, right: pixels, negative for up and left, fewer than the sides.
        size: (H, W).
    """
    kept = tuple(slice(max(0, -by), side - max(0, by)) for by, side in zip((down, right), size, strict=True))
    there = tuple(slice(max(0, by), side - max(0, -by)) for by, side in zip((down, right), size, strict=True))
    return Change(
        lambda image: _framed(image[:, kept[0], kept[1]], (there[0], there[1]), size),
        lambda maps: maps[:, there[0], there[1]],
        (kept[0], kept[1]),
    )


def coloured(brightness: float, contrast: float, saturation: float) -> Change:
    """Brightness, contrast and saturation multiplied, in this order; the map stays where it is.

    Args:
        brightness, contrast, saturation: factors, 0 or more; 1 changes nothing.
    """

    def recoloured(image: Tensor) -> Tensor:
        brighter = pixels.adjust_brightness(image, brightness)
        return pixels.adjust_saturation(pixels.adjust_contrast(brighter, contrast), saturation)

    return Change(recoloured, lambda maps: maps)


def _middle(inner: tuple[int, int], size: tuple[int, int]) -> Region:
    """The region of ``inner`` (h, w) in the middle of a frame."""
    first = [(side - own) // 2 for own, side in zip(inner, size, strict=True)]
    return slice(first[0], first[0] + inner[0]), slice(first[1], first[1] + inner[1])


def _sides(region: Region) -> tuple[int, int]:
    return region[0].stop - region[0].start, region[1].stop - region[1].start


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, with smoothing where [K, h, w] gets smaller."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def _framed(image: Tensor, region: Region, size: tuple[int, int]) -> Tensor:
    """The image [3, h, w] at a region of a frame (H, W); outside, its edge is repeated."""
    for axis, (where, side) in enumerate(zip(region, size, strict=True), start=1):
        places = torch.arange(side, device=image.device) - where.start
        image = image.index_select(axis, places.clamp(0, image.shape[axis] - 1))
    return image
