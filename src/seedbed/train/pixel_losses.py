"""Losses of segmentation networks on label maps."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.train.objectives import Parts, loss

VOID = 255


@loss("pixel_cross_entropy", task="segmentation")
class PixelCrossEntropy:
    """Cross entropy of ``(images, label maps)``; logits are enlarged to the label map, void pixels do not count.

    Args:
        align_corners: of the enlargement.
        balanced: the mean of the cross entropies of background (label 0) and of foreground, as AFA trains on its pseudo
            labels (Ru et al. 2022); the plain mean over pixels otherwise. A term without pixels is 0 (AFA's: NaN).
    """

    def __init__(self, *, align_corners: bool = True, balanced: bool = False) -> None:
        self.align_corners, self.balanced = align_corners, balanced

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        images, labels = batch
        logits = model(images).float()
        logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        if not self.balanced:
            return mean_cross_entropy(logits, labels), {}
        return balanced_cross_entropy(logits, labels), {}


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the pixels that are not void, 0 where all are; logits [B, C, H, W], labels int64 [B, H, W]."""
    counted = (labels != VOID).sum().clamp(min=1)
    return F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum") / counted


def balanced_cross_entropy(logits: Tensor, labels: Tensor, *, empty_is_nan: bool = False) -> Tensor:
    """Mean of the cross entropies of background (label 0) and of foreground.

    Args:
        logits: [B, C, H, W].
        labels: int64 [B, H, W].
        empty_is_nan: one without pixels is NaN, which a weight of 0 does not mend (AFA's and ToCo's codes); else 0.
    """
    background, foreground = labels.masked_fill(labels != 0, VOID), labels.masked_fill(labels == 0, VOID)
    mean = partial(F.cross_entropy, ignore_index=VOID) if empty_is_nan else mean_cross_entropy
    return (mean(logits, background) + mean(logits, foreground)) / 2
