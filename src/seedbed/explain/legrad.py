"""LeGrad (Bousselham et al. 2024). Beyond the four papers."""

from torch import Tensor, nn

from seedbed.explain.forward import ReadRows, read_rows, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_mlp
from seedbed.explain.method_registry import explainer
from seedbed.explain.rollout import first_layer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "legrad",
    needs=unreadable,
    beyond_papers=True,
    description="LeGrad: positive attention gradients of every block's own reading of the class",
)
def legrad(model: nn.Module, images: Tensor, targets: Tensor | None, *, start_layer: int = 0) -> Tensor:
    """Return [B, K, h, w] >= 0: mean over blocks, heads and query tokens of ``max(d s_l / d A_l, 0)``, raw.

    s_l is the logit that the classifier (its norm, pooling and head) would give on the output of block l; each block's
    attention is asked about its own s_l alone. In a model with a class token only that token's row has a gradient, so
    the mean over queries is that row divided by T, as in the paper.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        start_layer: blocks before this index are left out; negative counts from the end.
    """
    vit = ViT(model)
    readout = vit.readout()
    start = first_layer(start_layer, len(vit))
    tokens, grid = vit.embed(images)
    records = [
        read_rows(record, readout.rows)
        for index, record in enumerate(run_blocks(vit, tokens, readout))
        if index >= start
    ]

    def explain(pairs: Pairs) -> Tensor:
        layers = [_own_gradient(record, readout, pairs) for record in records]
        return (sum(layers) / (len(layers) * tokens.shape[1]))[:, vit.prefix :]

    return explain_pairs(resolve(targets, readout.logits(records[-1].out)), explain, grid)


def _own_gradient(record: ReadRows, readout: Readout, pairs: Pairs) -> Tensor:
    """Return sum over read rows, mean over heads of the positive gradient of this block's own logit: [P, T]."""
    middle = through_mlp(record, logit_gradient(readout, record, pairs), pairs)
    gradient = at_attention(record, at_mixed_values(record, middle), pairs)
    return gradient.clamp_(min=0).mean(1).sum(1)
