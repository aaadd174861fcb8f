"""The dice loss of segmentation scores."""

from typing import Literal, get_args

import torch
from torch import Tensor

from seedbed.errors import ParameterError, unknown_name
from seedbed.train.pixel_losses import VOID

DiceClasses = Literal["present", "all"]
"""Classes whose overlap is averaged: those that are labelled in the batch, or all, of which absent ones count as 0, so
that the loss stays near 1 (WeCLIP+'s code)."""
DiceVoid = Literal["left_out", "counted"]
"""Whether what is predicted on void pixels is left out, or counted as predicted wrongly (WeCLIP+'s code)."""
EPS = 1e-7


def dice_loss(
    logits: Tensor, labels: Tensor, *, classes: DiceClasses = "present", void: DiceVoid = "left_out"
) -> Tensor:
    """1 - the mean over classes of ``2 sum(p y) / (sum(p + y) + 1e-7)``; sums are over the batch and its pixels.

    Args:
        logits: [B, C, H, W], whose softmax is p.
        labels: int64 [B, H, W], 255 void; y is 1 where a pixel has a class.
        classes: see `DiceClasses`; a batch without a labelled pixel costs 0 under ``present``.
        void: see `DiceVoid`.

    Raises:
        ParameterError: a word is unknown.
    """
    for name, word, words in (("dice_classes", classes, DiceClasses), ("dice_void", void, DiceVoid)):
        if word not in get_args(words):
            raise ParameterError(unknown_name(name, word, get_args(words)))
    labelled = labels[:, None] == torch.arange(logits.shape[1], device=labels.device)[:, None, None]
    found = logits.softmax(1)
    counted = found if void == "counted" else found.where((labels != VOID)[:, None], 0)
    both = found.where(labelled, 0).sum((0, 2, 3))
    area = labelled.sum((0, 2, 3))
    overlap = 2 * both / (counted.sum((0, 2, 3)) + area + EPS)
    if classes == "all":
        return 1 - overlap.mean()
    present = area > 0
    return torch.where(present, 1 - overlap, 0).sum() / present.sum().clamp(min=1)
