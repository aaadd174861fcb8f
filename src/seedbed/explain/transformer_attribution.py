"""Transformer attribution (Chefer, Gur and Wolf, CVPR 2021): gradient-weighted relevance of attention, rolled out."""

from torch import Tensor, nn

from seedbed.explain.forward import BlockRecord, logits_of, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_attention, through_mlp
from seedbed.explain.method_registry import explainer
from seedbed.explain.relevance import logit_relevance, past_attention, past_mlp, to_attention
from seedbed.explain.relevance_rules import rules_named
from seedbed.explain.rollout import first_layer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "transformer_attribution",
    needs=unreadable,
    description="CVPR 2021: relevance of attention times its gradient, rolled out over blocks",
)
def transformer_attribution(
    model: nn.Module, images: Tensor, targets: Tensor | None, *, start_layer: int = 0, gradient: bool = True
) -> Tensor:
    """Return [B, K, h, w]: the readout's row of C_L ... C_(start+1), C_b = I + mean_h max(G_b * R_b, 0).

    R_b is the attention's relevance under the paper's conserving rules, G_b its gradient (paper, equations 13 and 14;
    the published code multiplies later blocks on the left and does not normalise rows, and so does this). Gradient,
    relevance and product go down the blocks together, the product as a row vector. Without a class token the row is
    the mean over the pooled tokens' rows.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        start_layer: blocks before this index are left out; negative counts from the end. The [Re] paper, the
            notebooks and the AGCAM comparison use 0, the CVPR 2021 evaluation scripts 1.
        gradient: false leaves G_b out (the published class's ``rollout`` of relevances).
    """
    vit = ViT(model)
    readout = vit.readout()
    start = first_layer(start_layer, len(vit))
    tokens, grid = vit.embed(images)
    records = [record for index, record in enumerate(run_blocks(vit, tokens, readout)) if index >= start]
    row = readout.row_weights(tokens.shape[1], tokens)

    def explain(pairs: Pairs) -> Tensor:
        return _attribution_row(records, readout, row, pairs, gradient)[:, vit.prefix :]

    return explain_pairs(resolve(targets, logits_of(readout, records[-1])), explain, grid)


def _attribution_row(records: list[BlockRecord], readout: Readout, row: Tensor, pairs: Pairs, weighted: bool) -> Tensor:
    """Multiply the row vector by each block's C from the last block down: [P, T]."""
    rules = rules_named("ours")
    relevance = logit_relevance(readout, records[-1], rules, pairs)
    gradient = logit_gradient(readout, records[-1], pairs) if weighted else None
    row = row.expand(len(pairs), 1, -1)
    for record in reversed(records):
        more = record is not records[0]
        skip, of_attention, of_values = to_attention(record, past_mlp(record, relevance, rules, pairs), rules, pairs)
        if more:
            relevance = past_attention(record, skip, of_attention, of_values, rules, pairs)
        if weighted:
            middle = through_mlp(record, gradient, pairs)
            mixed = at_mixed_values(record, middle)
            at_scores = at_attention(record, mixed, pairs)
            if more:
                gradient = through_attention(record, middle, mixed, at_scores, pairs)
            of_attention = of_attention.mul_(at_scores)
        row = row + row[:, :, record.rows] @ of_attention.clamp_(min=0).mean(1)
    return row[:, 0]
