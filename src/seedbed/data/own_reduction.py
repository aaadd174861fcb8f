"""Large images of your own as reduced copies: memory and time of most steps grow with the pixels."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from seedbed.data.index import Box, Record

IMAGES = "images"
_QUALITY = 95


@dataclass(frozen=True)
class Reduction:
    """Reduces images whose longer side exceeds ``longest_side``, as JPEG below ``folder``, with masks and boxes."""

    longest_side: int
    folder: Path

    def is_needed(self, size: tuple[int, int]) -> bool:
        """Whether an image of ``size`` (height, width) is too large."""
        return max(size) > self.longest_side

    def __call__(self, record: Record, image: np.ndarray, mask: np.ndarray | None) -> tuple[Record, np.ndarray | None]:
        """Write the reduced copy of an image; return its record, and its mask, reduced by nearest neighbour.

        Args:
            record: the image's.
            image: uint8 [H, W, 3].
            mask: uint8 [H, W], or None.
        """
        size = self._size(record.size)
        small = Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS)
        small.save(self.folder / f"{record.image}.jpg", "JPEG", quality=_QUALITY, subsampling=0)
        if mask is not None:
            mask = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
        boxes = tuple(_reduced(box, record.size, size) for box in record.boxes)
        return replace(record, path=f"{IMAGES}/{record.image}.jpg", size=size, boxes=boxes), mask

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        share = self.longest_side / max(size)
        return tuple(max(1, round(side * share)) for side in size)


def _reduced(box: Box, size: tuple[int, int], to: tuple[int, int]) -> Box:
    """A box in a reduced image's pixels, from 1 and inclusive; at least one pixel."""
    y, x = (small / large for small, large in zip(to, size, strict=True))
    xmin, ymin = (math.floor((corner - 1) * share) + 1 for corner, share in ((box.xmin, x), (box.ymin, y)))
    xmax, ymax = (math.ceil(corner * share) for corner, share in ((box.xmax, x), (box.ymax, y)))
    return Box(box.label, xmin, ymin, max(xmin, xmax), max(ymin, ymax))
