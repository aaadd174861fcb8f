"""From a patch-grid map to pixels: bilinear enlargement and min-max, as the papers' evaluations do."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import ParameterError


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps [..., h, w] to [..., *size], bilinear, ``align_corners=False``."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    return F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False).reshape(*maps.shape[:-2], *size)


def min_max(maps: Tensor, constant: str = "zero") -> Tensor:
    """Scale each map [..., h, w] to [0, 1] by its own minimum and maximum.

    Args:
        maps: floating; a map that holds NaN stays NaN throughout (count them with ``count_undefined``).
        constant: what a constant map becomes: ``"zero"``, or ``"nan"``, the 0/0 of the published evaluations.

    Raises:
        ParameterError: if ``constant`` is neither.
    """
    if constant not in ("zero", "nan"):
        raise ParameterError(f"constant must be 'zero' or 'nan', not '{constant}'.")
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    scaled = (maps - low) / (high - low)
    return torch.where(high == low, 0.0, scaled) if constant == "zero" else scaled


def count_undefined(maps: Tensor) -> int:
    """Count the maps [..., h, w] that hold a NaN, as attention GradCAM's do when no patch speaks for the class."""
    return int(maps.isnan().any(-1).any(-1).sum())
