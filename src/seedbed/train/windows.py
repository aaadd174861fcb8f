"""Class scores of large images from windows that slide over them (Segmenter's and WeakTr's test)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.settings.kinds import Positive

Scores = Callable[[Tensor], Tensor]
AT_ONCE = 8  # windows in a batch


@dataclass(frozen=True)
class Windows:
    """Square windows.

    Attributes:
        size: side in pixels.
        stride: pixels from one to the next; the last one ends where the image does.
    """

    # How the parameters are checked against it.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    size: Positive
    stride: Positive

    def anchors(self, side: int) -> list[int]:
        """Where windows begin along a side of at least their size."""
        last = side - self.size
        return [*range(0, last, self.stride), last]


def over_windows(scores: Scores, windows: Windows) -> Scores:
    """Class scores of an image by windows: the mean of all windows in which a pixel lies.

    An image with a side below the windows' is enlarged bilinearly first, until its shorter side is theirs.

    Args:
        scores: images [B, 3, size, size] to class scores [B, C, size, size].
        windows: their size and stride.

    Returns:
        From images [B, 3, h, w] to class scores [B, C, h', w'], h' x w' being h x w or the enlarged size.
    """

    def of_image(images: Tensor) -> Tensor:
        images = _large_enough(images, windows.size)
        height, width = images.shape[-2:]
        places = [(y, x) for y in windows.anchors(height) for x in windows.anchors(width)]
        shown = torch.cat([_window(images, place, windows.size) for place in places])
        found = torch.cat([scores(some) for some in shown.split(AT_ONCE)])
        total = found.new_zeros(len(images), found.shape[1], height, width)
        count = found.new_zeros(height, width)
        for place, part in zip(places, found.split(len(images)), strict=True):
            _window(total, place, windows.size).add_(part)
            _window(count, place, windows.size).add_(1)
        return total / count

    return of_image


def _window(tensor: Tensor, place: tuple[int, int], size: int) -> Tensor:
    y, x = place
    return tensor[..., y : y + size, x : x + size]


def _large_enough(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[-2:]
    shorter = min(height, width)
    if shorter >= size:
        return images
    # In whole numbers: the shorter side is the windows' exactly.
    enlarged = (height * size // shorter, width * size // shorter)
    return F.interpolate(images, size=enlarged, mode="bilinear", align_corners=False)
