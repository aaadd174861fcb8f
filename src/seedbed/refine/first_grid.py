"""Fusion of scales on the grid of the first (WeCLIP's test)."""

from collections.abc import Iterable
from itertools import chain

from torch import Tensor

from seedbed.refine.fusion import mean_of, not_empty, score_fusion, upsample_scores


@score_fusion("first_grid", of_logits=True)
def mean_on_the_first_grid(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Bring logits to the size of the first, bilinearly, average, upsample without aligned corners, softmax."""
    views = iter(logits)
    first = not_empty(next(views, None))
    grid = (first.shape[-2], first.shape[-1])
    mean = mean_of(upsample_scores(maps, grid, align_corners=False) for maps in chain([first], views))
    return upsample_scores(mean, size, align_corners=False).softmax(dim=0)
