"""Layer-wise relevance propagation as the baselines of the CVPR 2021 paper: down to the input, or to one attention."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.explain.forward import BlockRecord, logits_of, run_blocks
from seedbed.explain.gradients import at_attention, at_mixed_values, logit_gradient, through_attention, through_mlp
from seedbed.explain.method_registry import explainer
from seedbed.explain.relevance import logit_relevance, past_attention, past_mlp, to_attention
from seedbed.explain.relevance_rules import EPSILON, Rules, rules_named, through_sum
from seedbed.explain.rollout import first_layer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "lrp",
    needs=unreadable,
    description="Full layer-wise relevance propagation, down to the pixels",
)
def lrp(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    *,
    rules: Literal["orig", "ours"] = "orig",
    down_to: Literal["auto", "pixels", "tokens"] = "auto",
) -> Tensor:
    """Return the relevance that reaches the input: [B, K, H, W], signed, or [B, K, h, w] if it stops at the tokens.

    Positions get their share of relevance and keep it, as does the class token. A patch embedding that is one
    convolution hands on to the pixels by the z^B rule, with each image's smallest and largest value as its box,
    summed over channels. A convolutional network in front of the tokens (hybrid models) is never entered: there
    relevance is summed over the channels of each token.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        rules: ``orig`` as in the published comparisons, or ``ours``.
        down_to: ``pixels``, ``tokens``, or ``auto``: pixels where the patch embedding is one convolution, else tokens.

    Raises:
        ParameterError: an unknown option value; ``pixels`` asked of a hybrid.
    """
    chosen = rules_named(rules)
    vit = ViT(model)
    to_pixels = _reaches_pixels(vit, down_to)
    readout = vit.readout()
    patches, grid = vit.patches(images)
    tokens = vit.tokens(patches)
    records = list(run_blocks(vit, vit.norm_pre(tokens), readout))

    def explain(pairs: Pairs) -> Tensor:
        relevance = logit_relevance(readout, records[-1], chosen, pairs)
        for record in reversed(records):
            middle = past_mlp(record, relevance, chosen, pairs)
            relevance = past_attention(record, *to_attention(record, middle, chosen, pairs), chosen, pairs)
        relevance = _without_positions(vit, patches, tokens, relevance, chosen, pairs)
        return pixel_relevance(vit, images, relevance, pairs) if to_pixels else relevance.sum(-1)

    found = resolve(targets, logits_of(readout, records[-1]))
    return explain_pairs(found, explain, tuple(images.shape[-2:]) if to_pixels else grid)


@explainer(
    "partial_lrp",
    needs=unreadable,
    description="LRP stopped at one block's attention (Voita et al. 2019), positive part of the class token's row",
)
def partial_lrp(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    *,
    layer: int = -1,
    rules: Literal["orig", "ours"] = "orig",
    ablation: bool = False,
) -> Tensor:
    """Return [B, K, h, w] >= 0: ``mean_h max(R_A, 0)`` of one block's attention, in the row the classifier reads.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        layer: the block's index; negative counts from the end.
        rules: ``orig`` as in the published comparisons, or ``ours``.
        ablation: multiply the relevance by the attention's gradient first.
    """
    chosen = rules_named(rules)
    vit = ViT(model)
    readout = vit.readout()
    start = first_layer(layer, len(vit))
    tokens, grid = vit.embed(images)
    records = [record for index, record in enumerate(run_blocks(vit, tokens, readout)) if index >= start]
    row = readout.row_weights(tokens.shape[1], tokens)

    def explain(pairs: Pairs) -> Tensor:
        relevance = _attention_relevance(records, readout, chosen, pairs)
        if ablation:
            relevance = relevance * _attention_gradient(records, readout, pairs)
        return (row[records[0].rows] @ relevance.clamp(min=0).mean(1))[:, vit.prefix :]

    return explain_pairs(resolve(targets, logits_of(readout, records[-1])), explain, grid)


def _attention_relevance(records: list[BlockRecord], readout: Readout, rules: Rules, pairs: Pairs) -> Tensor:
    """Return the relevance [P, h, r, T] of the attention of ``records[0]``."""
    relevance = logit_relevance(readout, records[-1], rules, pairs)
    for record in reversed(records):
        parts = to_attention(record, past_mlp(record, relevance, rules, pairs), rules, pairs)
        if record is not records[0]:
            relevance = past_attention(record, *parts, rules, pairs)
    return parts[1]


def _attention_gradient(records: list[BlockRecord], readout: Readout, pairs: Pairs) -> Tensor:
    """Return d y_c / d A [P, h, r, T] for the attention of ``records[0]``."""
    gradient = logit_gradient(readout, records[-1], pairs)
    for record in reversed(records):
        middle = through_mlp(record, gradient, pairs)
        mixed = at_mixed_values(record, middle)
        at_scores = at_attention(record, mixed, pairs)
        if record is not records[0]:
            gradient = through_attention(record, middle, mixed, at_scores, pairs)
    return at_scores


def _reaches_pixels(vit: ViT, down_to: str) -> bool:
    if down_to not in ("auto", "pixels", "tokens"):
        raise ParameterError(f"down_to must be 'auto', 'pixels' or 'tokens', not '{down_to}'.")
    possible = vit.patch_convolution() is not None
    if down_to == "pixels" and not possible:
        raise ParameterError(
            f"down_to='pixels' needs a patch embedding that is one convolution; this {type(vit.model).__name__} embeds "
            f"with {type(vit.model.patch_embed).__name__}. Use 'tokens'."
        )
    return possible and down_to != "tokens"


def _without_positions(
    vit: ViT, patches: Tensor, tokens: Tensor, relevance: Tensor, rules: Rules, pairs: Pairs
) -> Tensor:
    """Split relevance [P, T, D] between token contents and positions; return what the patches keep, [P, N, D]."""
    contents = vit.contents(patches)
    if vit.model.pos_embed is None:
        return relevance[:, vit.prefix :]
    if vit.model.no_embed_class:  # only patches have positions
        contents, tokens, relevance = (part[:, vit.prefix :] for part in (contents, tokens, relevance))
    kept, _ = through_sum(contents, tokens - contents, tokens, relevance, rules, pairs.take)
    return kept[:, -patches.flatten(1, -2).shape[1] :]


def pixel_relevance(vit: ViT, images: Tensor, relevance: Tensor, pairs: Pairs) -> Tensor:
    """Take the patches' relevance [P, N, D] to the pixels [P, H, W] by the z^B rule (Montavon et al. 2017)."""
    weight = vit.patch_convolution()
    size = weight.shape[-2:]
    height, width = images.shape[-2:]
    images = images.to(vit.dtype)
    low, high = (bound.view(-1, 1, 1) for bound in (images.amin((1, 2, 3)), images.amax((1, 2, 3))))
    padded = vit.pad(images)
    columns = F.unfold(padded, size, stride=size).transpose(1, 2)  # [B, N, channels * patch area]
    weight = weight.flatten(1)
    positive, negative = weight.clamp(min=0), weight.clamp(max=0)
    total = columns @ weight.T - low * positive.sum(1) - high * negative.sum(1) + EPSILON
    share = relevance / pairs.take(total)
    result = pairs.take(columns) * (share @ weight)
    result -= pairs.take(low) * (share @ positive) + pairs.take(high) * (share @ negative)
    return F.fold(result.transpose(1, 2), padded.shape[-2:], size, stride=size).sum(1)[:, :height, :width]
