"""WeakTr (Zhu et al., arXiv 2304.01184): MCTformer-V2's network, and a small network that weighs attention heads.

Parameter names are those of the published checkpoints.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.mctformer import MCTformer
from seedbed.models.registry import register
from seedbed.models.transformer import (
    Attention,
    AttentionRecord,
    Recorder,
    init_transformer_weights,
    start_by_similarity,
)


class WeakTrOutput(NamedTuple):
    """What one forward pass gives; `C` classes, `h` x `w` patches, `P = h * w`, `T = C + P` tokens (classes first).

    Attributes:
        class_logits, patch_logits, patch_maps, attention, scores: as `seedbed.models.mctformer.MCTformerOutput`.
        fine_logits: [B, C], the spatial mean of `fine_maps`, >= 0; it trains the fusion alone.
        head_weights: [B, heads, L] in 0..1, of every head of every layer.
        cross_maps: [B, C, h, w], class-to-patch part of the fused attention.
        patch_attention: [B, P, P], its patch-to-patch part; rows sum to less than 1.
        coarse_maps: [B, C, h, w], >= 0: `cross_maps` times the patch head's positive part.
        fine_maps: [B, C, h, w], >= 0: `coarse_maps` refined by `patch_attention`.
    """

    class_logits: Tensor
    patch_logits: Tensor
    fine_logits: Tensor
    patch_maps: Tensor
    head_weights: Tensor
    cross_maps: Tensor
    patch_attention: Tensor
    coarse_maps: Tensor
    fine_maps: Tensor
    attention: list[Tensor] | None
    scores: list[Tensor] | None

    @property
    def logits(self) -> Tensor:
        """[B, C], those of the class tokens."""
        return self.class_logits

    @property
    def heads(self) -> dict[str, Tensor]:
        """The logits of all three by name."""
        return {"class": self.class_logits, "patch": self.patch_logits, "fine": self.fine_logits}


class HeadRecord(AttentionRecord):
    """What the fusion reads of a forward pass, without gradient, beside what a caller asks for.

    Attributes:
        maps: per layer the softmax attention of each head, [B, heads, T, T].
        peaks: per layer [B, dim], the maximum over all tokens of the attention layer's output.
    """

    def __init__(self, attention: str | None = None, scores: str | None = None) -> None:
        super().__init__(attention, scores)
        self.maps: list[Tensor] = []
        self.peaks: list[Tensor] = []

    @property
    def wanted(self) -> bool:
        return True

    def add(self, attention: Tensor, scores: Tensor) -> None:
        super().add(attention, scores)
        self.maps.append(attention.detach())

    def add_output(self, output: Tensor) -> None:
        """Keep what the fusion needs of a layer's output [B, T, dim]."""
        self.peaks.append(output.detach().amax(dim=1))


class RecordedAttention(Attention):
    """Attention that also shows its output, after the projection and before the residual sum."""

    def forward(self, x: Tensor, record: Recorder | None = None) -> Tensor:
        output = super().forward(x, record)
        if isinstance(record, HeadRecord):
            record.add_output(output)
        return output


class AttentionFusion(nn.Module):
    """Weights of all heads of all layers from what their layers put out: adaptive attention fusion.

    Args:
        dim, depth, num_heads: of the transformer.
        reduction: factor by which the network over all heads is narrower in its middle.
        feature_reduction: the same of the network over one head's features.
        channel_groups: which channels of a layer's output stand for head g of H: ``interleaved``, those with index
            d * H + g, as published, which are no head's; or the ``heads``' own, g * dim / H + d.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        reduction: float = 8.0,
        feature_reduction: int = 8,
        channel_groups: Literal["interleaved", "heads"] = "interleaved",
    ) -> None:
        super().__init__()
        self.depth, self.num_heads, self.channel_groups = depth, num_heads, channel_groups
        count, width = depth * num_heads, dim // num_heads
        middle, narrow = int(count / reduction), width // feature_reduction
        if min(middle, narrow) < 1:
            raise ParameterError(
                f"A fusion of {count} heads of width {width} cannot be reduced by {reduction:g} and "
                f"{feature_reduction}: nothing is left. Lower reduction or feature_reduction."
            )
        self.attn_head_ffn = nn.Sequential(
            nn.Linear(count, middle, bias=False), nn.ReLU(), nn.Linear(middle, count, bias=False)
        )
        self.attn_feat_ffn = nn.Sequential(nn.Linear(width, narrow), nn.Linear(narrow, 1))
        for layer in (m for m in self.modules() if isinstance(m, nn.Linear)):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def features(self, peaks: list[Tensor]) -> Tensor:
        """Per layer [B, dim] to [B, heads * L, dim / heads], heads slowest."""
        stacked = torch.stack(peaks, dim=1)
        if self.channel_groups == "interleaved":
            grouped = stacked.unflatten(2, (-1, self.num_heads)).permute(0, 3, 1, 2)
        else:
            grouped = stacked.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        return grouped.flatten(1, 2)

    def scores(self, peaks: list[Tensor]) -> Tensor:
        """[B, heads * L], a number for each head by its own features."""
        return self.attn_feat_ffn(self.features(peaks)).squeeze(-1)

    def forward(self, peaks: list[Tensor]) -> Tensor:
        """Weights [B, heads, L] in 0..1 of the maxima [B, dim] of each layer's output."""
        return self.attn_head_ffn(self.scores(peaks)).sigmoid().unflatten(1, (self.num_heads, self.depth))


class WeakTr(MCTformer):
    """WeakTr's classifier.

    Args:
        num_classes: classes C without background.
        reduction, feature_reduction, channel_groups: see `AttentionFusion`.
        spare_classes: further outputs that stand for no class, by their places among all: the published network for
            COCO has one for each id of 1..90, of which ten name nothing. They are computed, and not given.
        embed_dim, depth, num_heads, similarity, **options: as for `MCTformer`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        reduction: float = 8.0,
        feature_reduction: int = 8,
        channel_groups: Literal["interleaved", "heads"] = "interleaved",
        spare_classes: Sequence[int] = (),
        similarity: float = 0.0,
        **options: Any,
    ) -> None:
        self.given = given_outputs(num_classes, spare_classes)
        every = num_classes + len(spare_classes)
        super().__init__(every, embed_dim=embed_dim, depth=depth, num_heads=num_heads, **options)
        for block in self.blocks:
            block.attn = RecordedAttention(embed_dim, num_heads).apply(init_transformer_weights)
        start_by_similarity(self, similarity)
        self.adaptive_attention_fusion = AttentionFusion(
            embed_dim, depth, num_heads, reduction, feature_reduction, channel_groups
        )

    def forward(  # type: ignore[override]  # a further head, and the maps
        self, images: Tensor, attention: str | None = None, scores: str | None = None
    ) -> WeakTrOutput:
        """Classify normalised images [B, 3, H, W] of any size of at least one patch; arguments as `MCTformer`'s.

        The fusion reads attention, outputs and patch maps without gradient: `fine_logits` trains nothing else.
        """
        record = HeadRecord(attention, scores)
        class_tokens, patch_tokens = self.tokens(images, record)
        patch_maps = self.head(patch_tokens)
        weights = self.adaptive_attention_fusion(record.peaks)
        cross, patches = fused_attention(record.maps, weights, self.num_classes)
        cross = cross.unflatten(2, patch_maps.shape[-2:])
        coarse = cross * patch_maps.detach().relu()
        fine = refined(coarse, patches)
        return WeakTrOutput(
            self._given(class_tokens.mean(dim=-1)),
            self._given(self.pool(patch_maps)),
            self._given(fine.mean(dim=(2, 3))),
            self._given(patch_maps),
            weights,
            self._given(cross),
            patches,
            self._given(coarse),
            self._given(fine),
            record.attention,
            record.scores,
        )

    def _given(self, outputs: Tensor) -> Tensor:
        """Of all outputs [B, C + spare, ...] those that stand for classes."""
        return outputs if len(self.given) == outputs.shape[1] else outputs[:, self.given]


def given_outputs(num_classes: int, spare: Sequence[int]) -> list[int]:
    """Places of a network's outputs that stand for classes, in order, beside spare ones.

    Raises:
        ParameterError: a spare place lies outside, or comes twice.
    """
    every = range(num_classes + len(spare))
    if len(set(spare)) < len(spare) or not set(spare) <= set(every):
        raise ParameterError(f"spare_classes={list(spare)}: choose places from 0 to {len(every) - 1}, none twice.")
    return [place for place in every if place not in set(spare)]


def fused_attention(maps: list[Tensor], weights: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Weighted mean of every head's attention over all L layers: sum over w A, divided by heads * L.

    Neither the weights' sum nor the rows are normalised, as published.

    Args:
        maps: per layer [B, heads, T, T].
        weights: [B, heads, L].
        num_classes: C, the tokens in front.

    Returns:
        Class-to-patch part [B, C, P] and patch-to-patch part [B, P, P].
    """
    total: Any = 0
    for attention, weight in zip(maps, weights.unbind(dim=2), strict=True):
        # Not for the class columns, which nothing reads.
        total = total + torch.einsum("bhij,bh->bij", attention[..., num_classes:], weight)
    fused = total / (weights.shape[1] * weights.shape[2])
    return fused[:, :num_classes], fused[:, num_classes:]


def refined(maps: Tensor, patch_attention: Tensor) -> Tensor:
    """Maps [B, C, h, w] refined by patch-to-patch attention [B, P, P]: each place takes the sum over all places."""
    return (maps.flatten(2) @ patch_attention.mT).unflatten(2, maps.shape[-2:])


register("weaktr_small", WeakTr, "WeakTr's classifier on DeiT-S, 224 px")
register(
    "weaktr_tiny",
    WeakTr,
    "WeakTr's classifier, small enough for the built-in data, 96 px",
    img_size=96,
    patch_size=8,
    embed_dim=96,
    depth=4,
    num_heads=4,
    mlp_ratio=3.0,
    drop_path_rate=0.0,
    similarity=0.8,
    waves=1.0,
    reduction=2.0,
    feature_reduction=4,
)
