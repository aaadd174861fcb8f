"""Maps and pictures that ExCEL's labels are made of (Yang et al., CVPR 2025).

Shapes: B images, K class slots (the most classes that one image has), h x w = N patches.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seedbed.explain.box_affinity import BoxEnds, box_mask, spread, transition
from seedbed.explain.targets import ABSENT
from seedbed.explain.text_cam import stretched

Whole = Literal["rounded", "cut"]
"""Grey levels ``rounded`` to whole ones; or, as published, ``cut``, so that one in a hundred comes back one too low."""


def of_present(maps: Tensor, classes: Tensor) -> Tensor:
    """Maps [B, K, N] of the present classes [B, K] out of those of all, [B, N, C]; 0 in empty slots."""
    taken = classes.clamp(min=0)[:, :, None].expand(-1, -1, maps.shape[1])
    return maps.mT.gather(1, taken) * (classes != ABSENT)[:, :, None]


def spread_in_boxes(
    maps: Tensor, attention: Tensor, grid: tuple[int, int], threshold: float | None, ends: BoxEnds = "whole"
) -> Tensor:
    """Class maps spread by attention, each from within the boxes of its own strong regions: [B, K, h, w] in 0..1.

    Args:
        maps: [B, K, N] in 0..1.
        attention: [B, N, N], not negative; a row is a query.
        grid: (h, w).
        threshold: share of a map's maximum above which boxes are drawn; None: no boxes.
        ends: how boxes end, see `BoxEnds`.
    """
    flat = maps.flatten(0, 1)
    mask = None if threshold is None else box_mask(flat.unflatten(1, grid), threshold, ends).flatten(1)
    ways = transition(attention).repeat_interleave(maps.shape[1], 0)
    return stretched(spread(flat, ways, mask)).unflatten(1, grid).unflatten(0, maps.shape[:2])


def grey_levels(images: Tensor, mean: Sequence[float], std: Sequence[float], whole: Whole = "rounded") -> Tensor:
    """Normalised images [B, 3, H, W] as pictures of whole grey levels 0..255, float32.

    Args:
        images: as the network sees them.
        mean, std: what pictures in 0..1 were normalised with.
        whole: how, see `Whole`.
    """
    parts = [torch.tensor([255 * value for value in part]).view(3, 1, 1) for part in (mean, std)]
    shift, scale = (part.to(images.device, non_blocking=True) for part in parts)
    grey = (images.float() * scale + shift).clamp(0, 255)
    return grey.round() if whole == "rounded" else grey.trunc()
