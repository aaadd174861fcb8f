"""Fusion of scales by mean logits (TransCAM's DeepLab)."""

from collections.abc import Iterable

from torch import Tensor

from seedbed.refine.fusion import not_empty, score_fusion, upsample_scores


@score_fusion("mean_logits")
def mean_of_logits(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Upsample with aligned corners, average, softmax."""
    total, count = None, 0
    for maps in logits:
        scores = upsample_scores(maps, size, align_corners=True)
        total = scores if total is None else total + scores
        count += 1
    return (not_empty(total) / count).softmax(dim=0)
