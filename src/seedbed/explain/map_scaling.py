"""From a patch-grid map to pixels: bilinear enlargement and min-max, as the papers' evaluations do."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.settings.checked import checked


@checked
def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps [..., h, w] to [..., *size], bilinear, ``align_corners=False``; a constant map stays constant."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    enlarged = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return constants_kept(maps, enlarged.reshape(*maps.shape[:-2], *size))


def constants_kept(maps: Tensor, enlarged: Tensor) -> Tensor:
    """``enlarged`` [..., H, W], with every map [..., h, w] that was constant exactly so again.

    The weights of an interpolation do not sum to 1 to the last bit; stretching to 0..1 would make a map of the rest.
    """
    if not maps.numel():
        return enlarged
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return torch.where(low == high, low.to(enlarged.dtype), enlarged)


@checked
def min_max(maps: Tensor, constant: str = "zero") -> Tensor:
    """Scale each map [..., h, w] to [0, 1] by its own minimum and maximum.

    Args:
        maps: floating; a map that holds NaN stays NaN throughout (count them with ``count_undefined``).
        constant: what a constant map becomes: ``"zero"``, or ``"nan"``, the 0/0 of the published evaluations.

    Raises:
        ParameterError: if ``constant`` is neither.
        DataError: the maps are not floating, or have no pixel.
    """
    if constant not in ("zero", "nan"):
        raise ParameterError(f"constant must be 'zero' or 'nan', not '{constant}'.")
    if maps.ndim < 2 or 0 in maps.shape[-2:] or not maps.is_floating_point():
        raise DataError(f"Maps must be floating [..., h, w] with pixels, got {maps.dtype} {tuple(maps.shape)}.")
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    scaled = (maps - low) / (high - low)
    return torch.where(high == low, 0.0, scaled) if constant == "zero" else scaled


def count_undefined(maps: Tensor) -> int:
    """Count the maps [..., h, w] that hold a NaN, as attention GradCAM's do when no patch speaks for the class."""
    return int(maps.isnan().any(-1).any(-1).sum())
