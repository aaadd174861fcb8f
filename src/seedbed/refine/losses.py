"""Losses that teach affinities: over the pairs of an affinity network, and over a transformer's attention."""

from typing import NamedTuple

from torch import Tensor

from seedbed.errors import DataError
from seedbed.settings.checked import checked


class AffinityLoss(NamedTuple):
    """The total to minimise and the three means it is made of, all 0-d tensors."""

    total: Tensor
    background: Tensor
    foreground: Tensor
    negative: Tensor


@checked
def affinity_loss(
    pairs: Tensor, background: Tensor, foreground: Tensor, negative: Tensor, eps: float = 1e-5
) -> AffinityLoss:
    """Cross entropy of predicted pair affinities (PSA; [Re], section 4.3).

    Over the whole batch, with ``a`` the affinity: ``L_bg = -sum bg log(a + eps) / (sum bg + eps)``, ``L_fg`` alike,
    ``L_neg = -sum neg log(1 + eps - a) / (sum neg + eps)``; the total is ``L_bg / 4 + L_fg / 4 + L_neg / 2``, the
    papers' 1 : 1 : 2 divided by 4.

    Args:
        pairs: ``[B, n_offsets, n_from]`` float, affinities in 0..1.
        background, foreground, negative: 0/1 of the same shape, from `affinity_labels`.
        eps: guards logarithms and counts. PSA, MCTformer, TransCAM: 1e-5; [Re]: 1e-6.

    Returns:
        `AffinityLoss`; gradients flow to ``pairs``.
    """
    for labels in (background, foreground, negative):
        if labels.shape != pairs.shape:
            raise DataError(f"Pair labels {tuple(labels.shape)} do not fit affinities {tuple(pairs.shape)}.")
    same, different = (pairs + eps).log(), (1 + eps - pairs).log()
    bg = _masked_mean(-same, background, eps)
    fg = _masked_mean(-same, foreground, eps)
    neg = _masked_mean(-different, negative, eps)
    return AffinityLoss(bg / 4 + fg / 4 + neg / 2, bg, fg, neg)


@checked
def attention_affinity_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """AFA's affinity loss: raise affinities of positive pairs, lower those of negative ones.

    ``sum_pos (1 - p) / (2 (N_pos + 1)) + sum_neg p / (2 (N_neg + 1))``.

    Args:
        probabilities: ``[B, N, N]`` float in 0..1, after the sigmoid.
        labels: ``[B, N, N]``, 1 positive, 0 negative, 255 ignored, from `attention_affinity_labels`.

    Returns:
        A 0-d tensor.
    """
    if labels.shape != probabilities.shape:
        raise DataError(f"Affinity labels {tuple(labels.shape)} do not fit {tuple(probabilities.shape)}.")
    positive = (labels == 1).to(probabilities)
    negative = (labels == 0).to(probabilities)
    pull = (positive * (1 - probabilities)).sum() / (positive.sum() + 1)
    push = (negative * probabilities).sum() / (negative.sum() + 1)
    return (pull + push) / 2


def _masked_mean(values: Tensor, mask: Tensor, eps: float) -> Tensor:
    mask = mask.to(values)
    return (mask * values).sum() / (mask.sum() + eps)
