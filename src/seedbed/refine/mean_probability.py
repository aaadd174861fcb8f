"""Fusion of scales by mean probability (WeakTr's segmentation network)."""

from collections.abc import Iterable

from torch import Tensor

from seedbed.refine.fusion import mean_of, score_fusion, upsample_scores


@score_fusion("mean_probability")
def mean_of_probabilities(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Upsample without aligned corners, softmax, average."""
    return mean_of(upsample_scores(maps, size, align_corners=False).softmax(dim=0) for maps in logits)
