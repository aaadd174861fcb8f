"""Fusion of scales by mean logits (TransCAM's DeepLab)."""

from collections.abc import Iterable

from torch import Tensor

from seedbed.refine.fusion import mean_of, score_fusion, upsample_scores


@score_fusion("mean_logits")
def mean_of_logits(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Upsample with aligned corners, average, softmax."""
    return mean_of(upsample_scores(maps, size, align_corners=True) for maps in logits).softmax(dim=0)
