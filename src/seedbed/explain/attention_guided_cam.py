"""Attention Guided CAM (Leem and Seo, AAAI 2024), and what it is without each of its ingredients."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.forward import ReadRows, logits_of, read_rows, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_attention, through_mlp
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "attention_guided_cam",
    needs=unreadable,
    description="AGCAM: positive gradients along the skip path, guided by sigmoid attention scores",
)
def attention_guided_cam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    *,
    gradient: Literal["softmax_output", "sigmoid", "full"] = "softmax_output",
    features: Literal["sigmoid", "softmax", "scores", "none"] = "sigmoid",
) -> Tensor:
    """Return [B, K, h, w]: sum over blocks and heads of ``F * max(a, 0)`` (equation 8), raw; >= 0 unless F is E.

    E are the scaled scores before the softmax S, in the class token's row, and G is the sigmoid. By default F is G(E)
    (equation 2) and a the gradient with respect to the softmax's output, ``b dE_r1/dS`` (equation 7), where b flows
    only along the residual stream and the MLP branches (equations 3 to 5). So it stays in the rows the classifier
    reads, and the backward pass handles these tokens alone. Without a class token the sum also runs over the pooled
    tokens' rows.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        gradient: what a is.
            ``softmax_output``: equation 7, as in the published code.
            ``sigmoid``: equation 6, ``b dE_r1/dS dS/dG``, which equation 7 stands for. G is invertible entry by entry,
            so that ``a_j = S_j (g_j - sum_i g_i S_i) / (G_j (1 - G_j))`` with g the gradient of equation 7.
            ``full``: ``dy/dS`` of the whole network, through the attention of later blocks too, not selected by
            equations 3 to 5; of it the rows the classifier reads.
        features: what F is.
            ``sigmoid``: G(E), equation 2.
            ``softmax``: S(E), as the network has it, whose peaks the paper avoids.
            ``scores``: E, not normalised; negative scores count against a token.
            ``none``: 1: the gradient alone, unguided.

    Raises:
        ParameterError: ``gradient`` or ``features`` is none of these.
    """
    if gradient not in _GRADIENTS:
        raise ParameterError(unknown_name("gradient of attention_guided_cam", gradient, _GRADIENTS))
    if features not in _FEATURES:
        raise ParameterError(unknown_name("features of attention_guided_cam", features, _FEATURES))
    vit = ViT(model)
    readout = vit.readout()
    tokens, grid = vit.embed(images)
    blocks, whole = run_blocks(vit, tokens, readout), gradient == "full"
    records: list[Any] = [record if whole else read_rows(record, readout.rows) for record in blocks]

    def explain(pairs: Pairs) -> Tensor:
        total = torch.zeros((), device=tokens.device)
        for scores, found in _GRADIENTS[gradient](records, readout, pairs):
            total = total + _FEATURES[features](scores, found.clamp_(min=0)).sum((1, 2))
        return total[:, vit.prefix :]

    return explain_pairs(resolve(targets, logits_of(readout, records[-1])), explain, grid)


Gradients = Iterator[tuple[Tensor, Tensor]]
"""From the last block down: E and a, both [P, h, r, T], of the r rows that are read; a is the taker's to change."""


def _along_skips(records: list[ReadRows], readout: Readout, pairs: Pairs) -> Gradients:
    """Equations 5 and 7."""
    gradient = logit_gradient(readout, records[-1], pairs)
    for record in reversed(records):
        gradient = through_mlp(record, gradient, pairs)
        yield pairs.take(record.scores), at_attention(record, at_mixed_values(record, gradient), pairs)


def _at_sigmoid(records: list[ReadRows], readout: Readout, pairs: Pairs) -> Gradients:
    """Equations 5 and 6."""
    for scores, at_softmax in _along_skips(records, readout, pairs):
        log_share = scores.log_softmax(-1)
        mean = (at_softmax * log_share.exp()).sum(-1, keepdim=True)
        # S / (G (1 - G)): the logarithm of 1 / (G (1 - G)) is finite where G is 0 or 1 in floating point.
        yield scores, (at_softmax - mean) * (log_share + F.softplus(scores) + F.softplus(-scores)).exp()


def _through_everything(records: list[Any], readout: Readout, pairs: Pairs) -> Gradients:
    """The network's own gradient."""
    gradient = logit_gradient(readout, records[-1], pairs)
    for record in reversed(records):
        middle = through_mlp(record, gradient, pairs)
        mixed = at_mixed_values(record, middle)
        at_softmax = at_attention(record, mixed, pairs)
        rows = slice(None) if record.rows == readout.rows else readout.rows  # the last block is cut already
        yield pairs.take(record.scores)[:, :, rows], at_softmax[:, :, rows].clone()
        if record is not records[0]:
            gradient = through_attention(record, middle, mixed, at_softmax, pairs)


_GRADIENTS: dict[str, Callable[[list[Any], Readout, Pairs], Gradients]] = {
    "softmax_output": _along_skips,
    "sigmoid": _at_sigmoid,
    "full": _through_everything,
}
_FEATURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sigmoid": lambda scores, gradient: gradient * scores.sigmoid(),
    "softmax": lambda scores, gradient: gradient * scores.softmax(-1),
    "scores": lambda scores, gradient: gradient * scores,
    "none": lambda scores, gradient: gradient,
}
