"""ImageNet's normalisation in grey levels, and back to whole ones, as ToCo's code does both.

Beside `seedbed.data.normalise` it differs in the last digit, which decides the bytes that come back one too low.
"""

import torch
from torch import Tensor

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def normalised(images: Tensor) -> Tensor:
    """Turn uint8 images [..., 3, H, W] into normalised float32."""
    mean, std = _constants(images)
    return (images.float() - mean) / std


def grey_levels(images: Tensor) -> Tensor:
    """Normalised images [..., 3, H, W] in grey levels 0..255, float32."""
    mean, std = _constants(images)
    return images * std + mean


def whole_grey_levels(images: Tensor) -> Tensor:
    """The same as whole numbers: cut off, as published, and not rounded.

    Of bytes that `normalised` got, one in 500 comes back one too low.
    """
    return grey_levels(images).clamp(0, 255).trunc()


def _constants(images: Tensor) -> tuple[Tensor, ...]:
    parts = (torch.tensor(part, dtype=torch.float32).view(3, 1, 1) for part in (MEAN, STD))
    return tuple(part.to(images.device, non_blocking=True) for part in parts)
