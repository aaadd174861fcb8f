"""Fusing the maps of several scales and of mirrored images into one normalised map, as each published code does it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.explain.map_scaling import constants_kept
from seedbed.settings.checked import checked


@dataclass(frozen=True)
class MapFusion:
    """How maps are fused: a plain map meets its mirrored twin, is perhaps cut at 0; scales are summed, normalised."""

    meet: Callable[[Tensor, Tensor], Tensor]
    cut: bool
    normalise: Callable[[Tensor], Tensor]


@checked
def fuse_maps(scales: Sequence[tuple[Tensor, Tensor | None]], size: tuple[int, int], variant: str) -> Tensor:
    """Fuse the maps that one image gave at several scales.

    Args:
        scales: per scale the map of the image and that of the mirrored image *as the network gave it* (or ``None``),
            [..., K, h, w] with the same leading shape and K everywhere; h and w may differ.
        size: (H, W) of the result, the image's own.
        variant: whose fusion; all upsample bilinearly without aligned corners and un-mirror first:

            - ``psa``: sum, divided by (maximum + 1e-5); a class without evidence (no positive sum) is 0;
            - ``mctformer``: sum, minus minimum, over (range + 1e-8);
            - ``transcam``: sum, negatives to 0, values below minimum + 1e-5 to 0, then (x - minimum - 1e-5) over
              (range + 1e-5). As published, a class without any evidence becomes -1 everywhere, and where the minimum
              is positive its pixels become negative;
            - ``afa``: per scale the larger of plain and mirrored, negatives to 0, sum, minus minimum, over
              (maximum + 1e-5).

    Returns:
        float32 [..., K, H, W]; each map is normalised on its own.

    Raises:
        ParameterError: the variant is unknown.
        DataError: there are no scales.
    """
    if variant not in MAP_FUSIONS:
        raise ParameterError(unknown_name("map fusion", variant, MAP_FUSIONS))
    if not scales:
        raise DataError("There are no maps to fuse.")
    fusion = MAP_FUSIONS[variant]
    total: Any = None
    for plain, mirrored in scales:
        fused = _upsample(plain, size)
        if mirrored is not None:
            fused = fusion.meet(fused, _upsample(mirrored, size).flip(-1))
        fused = fused.relu() if fusion.cut else fused
        total = fused if total is None else total + fused
    return fusion.normalise(total)


def _upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    batched = maps.float().reshape(-1, 1, *maps.shape[-2:])
    enlarged = F.interpolate(batched, size=size, mode="bilinear", align_corners=False)
    return constants_kept(maps.float(), enlarged.reshape(*maps.shape[:-2], *size))


def _extremes(maps: Tensor) -> tuple[Tensor, Tensor]:
    return maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)


def _over_maximum(maps: Tensor) -> Tensor:
    high = _extremes(maps)[1]
    return torch.where(high <= 0, 0.0, maps / (high + 1e-5))  # a negative maximum would turn the map over


def _over_range(maps: Tensor) -> Tensor:
    low, high = _extremes(maps)
    return (maps - low) / (high - low + 1e-8)


def _over_cut_range(maps: Tensor) -> Tensor:
    maps = maps.relu()
    low, high = _extremes(maps)
    maps = torch.where(maps < low + 1e-5, torch.zeros_like(maps), maps)
    return (maps - low - 1e-5) / (high - low + 1e-5)


def _from_minimum_over_maximum(maps: Tensor) -> Tensor:
    return _over_maximum(maps - _extremes(maps)[0])


MAP_FUSIONS = {
    "psa": MapFusion(torch.add, False, _over_maximum),
    "mctformer": MapFusion(torch.add, False, _over_range),
    "transcam": MapFusion(torch.add, False, _over_cut_range),
    "afa": MapFusion(torch.maximum, True, _from_minimum_over_maximum),
}
