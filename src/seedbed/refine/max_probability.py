"""Fusion of scales by the largest probability (MCTformer's segmentation network)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from seedbed.refine.fusion import not_empty, score_fusion, upsample_scores


@score_fusion("max_probability", of_logits=True)
def largest_probability(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Upsample without aligned corners, softmax, element-wise maximum over the scales, which does not sum to 1."""
    best = None
    for maps in logits:
        probabilities = upsample_scores(maps, size, align_corners=False).softmax(dim=0)
        best = probabilities if best is None else torch.maximum(best, probabilities)
    return not_empty(best)
