"""Fusion of scales on the grid of the first (WeCLIP's test)."""

from collections.abc import Iterable

from torch import Tensor

from seedbed.refine.fusion import not_empty, score_fusion, upsample_scores


@score_fusion("first_grid", of_logits=True)
def mean_on_the_first_grid(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Bring logits to the size of the first, bilinearly, average, upsample without aligned corners, softmax."""
    total, count, grid = None, 0, (0, 0)
    for maps in logits:
        grid = (maps.shape[-2], maps.shape[-1]) if total is None else grid
        scores = upsample_scores(maps, grid, align_corners=False)
        total = scores if total is None else total + scores
        count += 1
    return upsample_scores(not_empty(total) / count, size, align_corners=False).softmax(dim=0)
