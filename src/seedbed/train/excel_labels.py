"""Maps that ExCEL's labels are made of (Yang et al., CVPR 2025).

Shapes: B images, K class slots (the most classes that one image has), h x w = N patches.
"""

from torch import Tensor

from seedbed.explain.box_affinity import BoxEnds, spread_in_boxes, transition
from seedbed.explain.targets import ABSENT


def of_present(maps: Tensor, classes: Tensor) -> Tensor:
    """Maps [B, K, N] of the present classes [B, K] out of those of all, [B, N, C]; 0 in empty slots."""
    taken = classes.clamp(min=0)[:, :, None].expand(-1, -1, maps.shape[1])
    return maps.mT.gather(1, taken) * (classes != ABSENT)[:, :, None]


def spread_by_attention(
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
    ways = transition(attention).repeat_interleave(maps.shape[1], 0)
    found = spread_in_boxes(maps.flatten(0, 1), ways, grid, threshold, ends)
    return found.unflatten(1, grid).unflatten(0, maps.shape[:2])
