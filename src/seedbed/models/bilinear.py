"""Maps and images at another size, as single-stage networks learn from them."""

import torch.nn.functional as F
from torch import Tensor


def bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w] at another size, bilinearly, without aligned corners."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def scaled(images: Tensor, scale: float) -> Tensor:
    """Images [B, C, H, W] at a scale, sides rounded down; at 1 the images themselves."""
    if scale == 1:
        return images
    return bilinear(images, (int(images.shape[-2] * scale), int(images.shape[-1] * scale)))
