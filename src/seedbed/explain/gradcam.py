"""GradCAM on the last attention, as the CVPR 2021 paper (Chefer et al.) defines it for Vision Transformers."""

from torch import Tensor, nn

from seedbed.explain.forward import BlockRecord, last_of, logits_of, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_mlp
from seedbed.explain.map_scaling import min_max
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import ViT


@explainer(
    "gradcam",
    needs=unreadable,
    description="GradCAM on the last block's attention: heads weighted by their mean gradient",
)
def gradcam(model: nn.Module, images: Tensor, targets: Tensor | None, *, normalise: bool = True) -> Tensor:
    """Return [B, K, h, w]: ``max(mean_h(weight_h * A_h), 0)`` of the class token's row, min-max scaled.

    ``weight_h`` is the mean over patches of d y_c / d A_h. If no patch is positive the scaled map is 0/0: the whole
    map is NaN, which the published evaluations meet regularly and treat each in their own way.

    Without a class token the gradients are summed and the attention averaged over the pooled tokens' rows (what a
    common change of all rows would do); with a distillation token over its row and the class token's.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        normalise: scale each map to [0, 1] as the definition does; false gives the map before that, all >= 0.
    """
    vit = ViT(model)
    readout = vit.readout()
    tokens, grid = vit.embed(images)
    last = last_of(run_blocks(vit, tokens, readout))
    row = readout.row_weights(tokens.shape[1], tokens)[readout.rows]

    def explain(pairs: Pairs) -> Tensor:
        middle = through_mlp(last, logit_gradient(readout, last, pairs), pairs)
        gradient = at_attention(last, at_mixed_values(last, middle), pairs)
        maps = _weighted_heads(last, gradient, row, pairs, vit.prefix).unflatten(1, grid)
        return min_max(maps, constant="nan") if normalise else maps

    return explain_pairs(resolve(targets, logits_of(readout, last)), explain, grid)


def _weighted_heads(last: BlockRecord, gradient: Tensor, row: Tensor, pairs: Pairs, prefix: int) -> Tensor:
    attention = (row @ pairs.take(last.attention))[..., prefix:]  # [P, h, N]
    weight = gradient.sum(2)[..., prefix:].mean(-1, keepdim=True)  # [P, h, 1]
    return (weight * attention).mean(1).clamp(min=0)
