"""Fusion of scales on the grid of the first, the largest of which counts (AFA's test)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from seedbed.refine.fusion import not_empty, score_fusion, upsample_scores
from seedbed.refine.mirrored_logits import mirrored_pairs


@score_fusion("first_grid_largest", of_logits=True, paired=True)
def largest_on_the_first_grid(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Bring logits to the size of the first, bilinearly: the mean of mirrored views, the largest of the scales; then
    upsample without aligned corners, softmax.

    Raises:
        DataError: a view has no mirror image.
    """
    grid: tuple[int, int] | None = None
    total = None
    for plain, mirrored in mirrored_pairs(logits):
        grid = grid or (plain.shape[-2], plain.shape[-1])
        found = upsample_scores((plain + mirrored) / 2, grid, align_corners=False)
        total = found if total is None else torch.maximum(total, found)
    return upsample_scores(not_empty(total), size, align_corners=False).softmax(dim=0)
