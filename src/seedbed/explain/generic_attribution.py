"""The generic attention explainability rule (Chefer, Gur and Wolf, ICCV 2021) for Vision Transformers."""

from torch import Tensor, nn

from seedbed.explain.forward import BlockRecord, logits_of, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_attention, through_mlp
from seedbed.explain.method_registry import explainer
from seedbed.explain.rollout import first_layer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "generic_attribution",
    needs=unreadable,
    description="ICCV 2021 rule: relevance through attention times its gradient, block after block",
)
def generic_attribution(model: nn.Module, images: Tensor, targets: Tensor | None, *, start_layer: int = 0) -> Tensor:
    """Return [B, K, h, w]: the readout's row of (I + Abar_L) ... (I + Abar_(start+1)), Abar = mean_h max(G * A, 0).

    G is the gradient of the class's logit. It is the ViT form of the paper's self-attention update (equations 5 and 6,
    without normalisation). Without a class token the row is the mean over the pooled tokens' rows.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        start_layer: blocks before this index are left out; -1 keeps the last alone.
    """
    vit = ViT(model)
    readout = vit.readout()
    start = first_layer(start_layer, len(vit))
    tokens, grid = vit.embed(images)
    # Blocks below the first one that counts are run and forgotten.
    records = [record for index, record in enumerate(run_blocks(vit, tokens, readout)) if index >= start]
    row = readout.row_weights(tokens.shape[1], tokens)

    def explain(pairs: Pairs) -> Tensor:
        return _relevance_row(records, readout, row, pairs)[:, vit.prefix :]

    return explain_pairs(resolve(targets, logits_of(readout, records[-1])), explain, grid)


def _relevance_row(records: list[BlockRecord], readout: Readout, row: Tensor, pairs: Pairs) -> Tensor:
    """Multiply the row vector by each block's I + Abar from the last block down, beside the gradient: [P, T]."""
    gradient = logit_gradient(readout, records[-1], pairs)
    row = row.expand(len(pairs), 1, -1)
    for record in reversed(records):
        middle = through_mlp(record, gradient, pairs)
        mixed = at_mixed_values(record, middle)
        at_scores = at_attention(record, mixed, pairs)
        relevant = (at_scores * pairs.take(record.attention)).clamp_(min=0).mean(1)
        row = row + row[:, :, record.rows] @ relevant
        if record is not records[0]:
            gradient = through_attention(record, middle, mixed, at_scores, pairs)
    return row[:, 0]
