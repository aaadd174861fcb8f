"""Attention Guided CAM (Leem and Seo, AAAI 2024)."""

import torch
from torch import Tensor, nn

from seedbed.explain.forward import ReadRows, logits_of, read_rows, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_mlp
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "attention_guided_cam",
    needs=unreadable,
    description="AGCAM: positive gradients along the skip path, guided by sigmoid attention scores",
)
def attention_guided_cam(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w] >= 0: sum over blocks and heads of ``max(g, 0) * sigmoid(E)`` (equation 8), raw.

    E are the scaled scores before the softmax, in the class token's row; g is the gradient with respect to the
    softmax's output (equation 7), which flows only along the residual stream and the MLP branches (equations 3 to 5).
    So it stays in the rows the classifier reads, and the backward pass handles these tokens alone. Without a class
    token the sum also runs over the pooled tokens' rows.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
    """
    vit = ViT(model)
    readout = vit.readout()
    tokens, grid = vit.embed(images)
    records = [read_rows(record, readout.rows) for record in run_blocks(vit, tokens, readout)]

    def explain(pairs: Pairs) -> Tensor:
        return _guided_sum(records, readout, pairs)[:, vit.prefix :]

    return explain_pairs(resolve(targets, logits_of(readout, records[-1])), explain, grid)


def _guided_sum(records: list[ReadRows], readout: Readout, pairs: Pairs) -> Tensor:
    """Return the sum [P, T] over blocks, heads and read rows."""
    gradient = logit_gradient(readout, records[-1], pairs)
    total = torch.zeros((), device=gradient.device)
    for record in reversed(records):
        gradient = through_mlp(record, gradient, pairs)
        at_softmax = at_attention(record, at_mixed_values(record, gradient), pairs)
        total = total + (at_softmax.clamp_(min=0) * pairs.take(record.scores).sigmoid()).sum((1, 2))
    return total
