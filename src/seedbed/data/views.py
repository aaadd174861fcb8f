"""Images as a network sees them at inference: squashed or scaled, mirrored, normalised; read ahead of use."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seedbed.data.normalise import normalise
from seedbed.data.scaling import scaled_sides

Item = TypeVar("Item")
Result = TypeVar("Result")
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class InputView:
    """How an image is brought to a network at scale 1; see `view`.

    Attributes:
        normalize: a name of ``seedbed.data.normalisations.NORMALISATIONS``.
        size: (h, w) to squash to; None keeps the image's own.
        interpolation: PIL's filter.
        multiple: sides are rounded up to a multiple of it.
    """

    normalize: str
    size: tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    multiple: int = 1


def view(
    image: np.ndarray,
    *,
    size: tuple[int, int] | None,
    scale: float = 1.0,
    flip: bool = False,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    rounding: Literal["nearest", "down"] = "nearest",
    multiple: int = 1,
    normalisation: str,
) -> Tensor:
    """Return one view of an image as float32 [3, h, w].

    Args:
        image: uint8 [H, W, 3].
        size: (h, w) to squash to at scale 1; None keeps the image's own.
        scale: factor on that size.
        flip: mirror left to right.
        interpolation: PIL's filter, applied to the 8-bit image.
        rounding: of the sides: to the nearest, half to even, as the published seed pipelines do, or down.
        multiple: the sides are then rounded up to a multiple of it, as CLIP-ES does with its patches.
        normalisation: a name of ``seedbed.data.normalisations.NORMALISATIONS``.
    """
    height, width = (-(-side // multiple) * multiple for side in scaled_sides(size or image.shape[:2], scale, rounding))
    if (height, width) != image.shape[:2]:
        image = np.asarray(Image.fromarray(image).resize((width, height), _FILTERS[interpolation]))
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)
    return normalise(pixels.flip(-1) if flip else pixels, normalisation)
