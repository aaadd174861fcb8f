"""Fusion of scales by mean probability (WeakTr's segmentation network)."""

from collections.abc import Iterable

from torch import Tensor

from seedbed.refine.fusion import not_empty, score_fusion, upsample_scores


@score_fusion("mean_probability")
def mean_of_probabilities(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Upsample without aligned corners, softmax, average."""
    total, count = None, 0
    for maps in logits:
        probabilities = upsample_scores(maps, size, align_corners=False).softmax(dim=0)
        total = probabilities if total is None else total + probabilities
        count += 1
    return not_empty(total) / count
