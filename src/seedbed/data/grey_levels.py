"""Normalised images in grey levels, and back to whole ones, as ToCo's and ExCEL's codes do both.

Beside `seedbed.data.normalise` they differ in the last digit, which decides the bytes that come back one too low.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seedbed.data.normalisations import NORMALISATIONS

MEAN, STD = NORMALISATIONS["imagenet"]
"""Of pictures in 0..1."""
Whole = Literal["rounded", "cut"]
"""Grey levels ``rounded`` to whole ones; or, as published, ``cut``, so that some come back one too low."""


def normalised(images: Tensor) -> Tensor:
    """Turn uint8 images [..., 3, H, W] into float32 in ImageNet's normalisation."""
    mean, std = _constants(images, MEAN, STD)
    return (images.float() - mean) / std


def grey_levels(images: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """Normalised images [..., 3, H, W] in grey levels 0..255, float32.

    Args:
        images: as the network sees them.
        mean, std: what pictures in 0..1 were normalised with.
    """
    shift, scale = _constants(images, mean, std)
    return images.float() * scale + shift


def whole_grey_levels(
    images: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD, whole: Whole = "cut"
) -> Tensor:
    """The same as whole numbers; ``whole`` says how."""
    grey = grey_levels(images, mean, std).clamp(0, 255)
    return grey.round() if whole == "rounded" else grey.trunc()


def _constants(images: Tensor, *parts: Sequence[float]) -> list[Tensor]:
    levels = (torch.tensor([255 * value for value in part]).view(3, 1, 1) for part in parts)
    return [level.to(images.device, non_blocking=True) for level in levels]
