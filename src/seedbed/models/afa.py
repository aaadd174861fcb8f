"""AFA (Ru et al., CVPR 2022): a hierarchical Transformer that classifies, decodes, and tells what belongs together.

The encoder is SegFormer's Mix Transformer (Xie et al., NeurIPS 2021), which timm's Pyramid Vision Transformer V2
computes with other numbers; its last stage keeps the resolution of the one before. A classifier reads its last
features, a decoder of linear layers all stages, and affinities are learnt from the attention of its last blocks.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from timm.models.pvt_v2 import Block, PyramidVisionTransformerV2
from torch import Tensor, nn

from seedbed.errors import ImageSizeError, ParameterError
from seedbed.models.bilinear import bilinear
from seedbed.models.registry import register

Part = Literal["all", "maps", "affinity"]


class AFAOutput(NamedTuple):
    """What `AFA` gives for images [B, 3, H, W]; C classes, h x w places of the last stage, N = h w.

    Attributes:
        logits: [B, C], of the classes without background.
        maps: [B, C, h, w], signed class activation maps, without gradient.
        scores: [B, C + 1, h', w'], the decoder's at the first stage's resolution, background first.
        affinity: [B, N, N] in 0..1, symmetric: how much two places belong together.
    """

    logits: Tensor
    maps: Tensor
    scores: Tensor
    affinity: Tensor


class AFA(nn.Module):
    """AFA; the defaults are MiT-B1's.

    Args:
        num_classes: classes C without background.
        embed_dims, depths, num_heads, sr_ratios: of the encoder's stages; keys and values are reduced by the last.
        strides: of the stages' overlapping patches.
        mlp_ratio, drop_path: of its blocks; the rate of the last one, from 0 at the first.
        affinity_blocks: how many of the last stage's blocks affinities are made of.
        decoder_width: channels of the decoder.
        train_norms: whether the encoder's norms learn; as published they do not, since their learning rate is 0.

    Raises:
        ParameterError: the last stage has not so many blocks, or reduces its keys, so that places are no pairs.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        embed_dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (1, 2, 5, 8),
        sr_ratios: Sequence[int] = (8, 4, 2, 1),
        strides: Sequence[int] = (4, 2, 2, 1),
        mlp_ratio: float = 4.0,
        drop_path: float = 0.1,
        affinity_blocks: int = 2,
        decoder_width: int = 256,
        train_norms: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= affinity_blocks <= depths[-1]:
            raise ParameterError(f"affinity_blocks={affinity_blocks}: the last stage has {depths[-1]} blocks.")
        if sr_ratios[-1] != 1:
            raise ParameterError(f"sr_ratios={list(sr_ratios)}: affinities need a last stage that reduces no keys: 1.")
        encoder: Any = PyramidVisionTransformerV2(
            num_classes=0,
            embed_dims=tuple(embed_dims),
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            sr_ratios=tuple(sr_ratios),
            mlp_ratios=(mlp_ratio,) * len(depths),
            drop_path_rate=drop_path,
        )
        self.encoder = encoder
        patches = [encoder.patch_embed, *(stage.downsample for stage in encoder.stages[1:])]
        for each, stride in zip(patches, strides, strict=True):
            each.proj.stride = (stride, stride)
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(train_norms or "norm" not in name)
        self.num_classes, self.affinity_blocks = num_classes, affinity_blocks
        self.smallest = strides[0] * (sr_ratios[0] - 1) + 1
        self.decoder = LinearDecoder(embed_dims, decoder_width, num_classes + 1)
        self.attn_proj = nn.Conv2d(affinity_blocks * num_heads[-1], 1, 1)
        self.classifier = nn.Conv2d(embed_dims[-1], num_classes, 1, bias=False)

    def forward(self, images: Tensor, *, part: Part = "all") -> Any:
        """Classify and decode normalised images [B, 3, H, W].

        Args:
            images: float tensor, normalised with the ImageNet mean and standard deviation.
            part: ``all``: an `AFAOutput`; ``maps``: class activation maps [B, C, h, w]; ``affinity``: these and the
                affinities [B, N, N].

        Raises:
            ImageSizeError: an image is smaller than what keys of the first stage are reduced by.
        """
        early = self.early(images)
        last, affinity = self.last(early[-1], affine=part != "maps")
        with torch.no_grad():
            maps = self.classifier(last)
        if part == "maps":
            return maps
        if part == "affinity":
            return maps, affinity
        return AFAOutput(self.classified(last), maps, self.decoder([*early, last]), affinity)

    def early(self, images: Tensor) -> list[Tensor]:
        """Features [B, D, h, w] of all stages but the last, each after its norm."""
        height, width = images.shape[-2:]
        if min(height, width) < self.smallest:
            raise ImageSizeError(f"An image of {height} x {width} is too small: a side needs {self.smallest} pixels.")
        x, found = self.encoder.patch_embed(images), []
        for stage in self.encoder.stages[:-1]:
            x = stage(x)
            found.append(x)
        return found

    def last(self, x: Tensor, *, affine: bool = True) -> tuple[Tensor, Any]:
        """The last stage's features [B, D, h, w], and the affinities [B, N, N]; None unless ``affine``."""
        stage: Any = self.encoder.stages[-1]
        x = stage.downsample(x)
        grid, tokens = (x.shape[1], x.shape[2]), x.flatten(1, 2)
        weights = self.attn_proj.weight.flatten().unflatten(0, (self.affinity_blocks, -1))
        products: Any = 0
        for number, block in enumerate(stage.blocks, start=self.affinity_blocks - len(stage.blocks)):
            if affine and number >= 0:
                products = products + weighted_products(block, tokens, weights[number])
            tokens = block(tokens, grid)
        features = stage.norm(tokens).mT.unflatten(2, grid)
        return features, (products + products.mT + self.attn_proj.bias).sigmoid() if affine else None

    def classified(self, last: Tensor) -> Tensor:
        """Logits [B, C] from the last stage's features [B, D, h, w]: of the largest of each channel."""
        return self.classifier(last.amax((2, 3), keepdim=True)).flatten(1)

    def logits(self, images: Tensor) -> Tensor:
        """The decoder's scores [B, C + 1, h', w'] at the first stage's resolution, background first."""
        early = self.early(images)
        return self.decoder([*early, self.last(early[-1], affine=False)[0]])

    def pixel_scores(self, images: Tensor) -> Tensor:
        """The decoder's scores of every pixel, [B, C + 1, H, W]."""
        return bilinear(self.logits(images), (images.shape[-2], images.shape[-1]))


def weighted_products(block: Block, tokens: Tensor, weights: Tensor) -> Tensor:
    """The sum over a block's heads of ``weight times q k^T``, unscaled and before the softmax: [B, N, N].

    A 1x1 convolution over the heads' matrices, of which none is held: it is one product of all channels, of queries
    that are weighted head by head.

    Args:
        block: of the encoder; attends to all tokens.
        tokens: [B, N, D], before its first norm.
        weights: [heads], of its heads.
    """
    attention, normed = block.attn, block.norm1(tokens)
    queries = attention.q(normed).unflatten(2, (attention.num_heads, -1)) * weights[:, None]
    keys = attention.kv(normed)[..., : normed.shape[-1]]
    return queries.flatten(2) @ keys.mT


class LinearDecoder(nn.Module):
    """SegFormer's decoder: stages brought to one width by linear layers, enlarged to the first one's grid and fused."""

    def __init__(self, widths: Sequence[int], hidden: int, outputs: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.fuse = nn.Conv2d(len(widths) * hidden, hidden, 1, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.dropout = nn.Dropout2d(0.1)
        self.predict = nn.Conv2d(hidden, outputs, 1)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Scores [B, outputs, h, w] from features [B, width, h, w] of the stages, the first one's resolution."""
        size = (stages[0].shape[-2], stages[0].shape[-1])
        levels = [
            bilinear(level(stage.movedim(1, -1)).movedim(-1, 1), size)
            for level, stage in zip(self.levels, stages, strict=True)
        ]
        fused = self.norm(self.fuse(torch.cat(levels[::-1], dim=1))).relu()
        return self.predict(self.dropout(fused))


register("afa_mit_b1", AFA, "AFA on MiT-B1", predicts_masks=True)
register(
    "afa_tiny",
    AFA,
    "AFA, small enough for the built-in data, 96 px",
    predicts_masks=True,
    embed_dims=(16, 32, 48, 64),
    depths=(1, 1, 1, 2),
    num_heads=(1, 2, 3, 4),
    sr_ratios=(4, 2, 1, 1),
    strides=(4, 2, 1, 1),
    mlp_ratio=2.0,
    drop_path=0.0,
    decoder_width=32,
)
