"""Maps at another size, as single-stage networks enlarge their scores and shrink their maps."""

import torch.nn.functional as F
from torch import Tensor


def bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w] at another size, bilinearly, without aligned corners."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
