"""WeCLIP (Zhang et al., CVPR 2024): a frozen CLIP, and a light decoder on its blocks' outputs that predicts masks."""

from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm, Mlp, get_act_layer
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from seedbed.models.clip import VIT_B_16
from seedbed.models.clip_classifier import TINY_TOWER, ClipClassifier
from seedbed.models.registry import register


class Seen(NamedTuple):
    """What the frozen tower makes of images; N = h w patches, T = 1 + N tokens, L blocks.

    Attributes:
        levels: per block but the last [B, D, h, w], its output without the class token.
        before: [B, T, D], input of the last block.
        attention: per block [B, N, N], patch to patch, mean over heads; rows sum to less than 1.
        logits: [B, C], of the class token.
    """

    levels: list[Tensor]
    before: Tensor
    attention: list[Tensor]
    logits: Tensor


class WeClipOutput(NamedTuple):
    """What `WeClip` gives for images [B, 3, H, W]; h, w are the patches.

    Attributes:
        logits: [B, C], CLIP's own, of the classes without background.
        scores: [B, C + 1, h, w], the decoder's, background first.
        features: [B, E, h, w], what the decoder reads and affinities are made of.
    """

    logits: Tensor
    scores: Tensor
    features: Tensor


class WeClip(ClipClassifier):
    """A CLIP whose classes are texts, and a decoder of few blocks over the fused outputs of its own.

    Only the decoder and what fuses the levels are trained.

    Args:
        num_classes: classes without background.
        width: channels of the decoder.
        decoder_blocks, decoder_heads: of the decoder, whose blocks are CLIP's, without positions or a final norm.
        dropout: of whole channels of the fused features.
        **classifier: see `ClipClassifier`.
    """

    new_layers = ("levels", "fuse", "decoder", "predict")
    blocks_left_out = 1

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 256,
        decoder_blocks: int = 3,
        decoder_heads: int = 8,
        dropout: float = 0.1,
        **classifier: Any,
    ) -> None:
        super().__init__(num_classes, **classifier)
        self.tower.requires_grad_(False)
        count, dim = len(self.tower.blocks) - self.blocks_left_out, self.tower.embed_dim
        self.levels = nn.ModuleList(Mlp(dim, width, width, act_layer=nn.ReLU) for _ in range(count))
        self.fuse = nn.Conv2d(count * width, width, 1)
        self.dropout = nn.Dropout2d(dropout)
        like_clip: Any = {"norm_layer": partial(LayerNorm, eps=1e-5), "act_layer": get_act_layer("quick_gelu")}
        block = partial(Block, width, decoder_heads, qkv_bias=True, **like_clip)
        self.decoder = nn.Sequential(*(block() for _ in range(decoder_blocks)))
        self.predict = nn.Conv2d(width, num_classes + 1, 1)

    @torch.no_grad()
    def look(self, images: Tensor) -> Seen:
        """Run the frozen tower on images [B, 3, H, W]."""
        tokens, (height, width) = self.tower.embed(images)
        outputs, attention = [tokens], []
        for step in self.tower.steps(tokens):
            outputs.append(step.tokens)
            attention.append(step.attention[:, :, 1:, 1:].mean(1))
        levels = [each[:, 1:].transpose(1, 2).unflatten(2, (height, width)) for each in outputs[1:-1]]
        logits = self.scores(self.tower.project(outputs[-1][:, 0]), self.classes)
        return Seen(levels, outputs[-2], attention, logits)

    def decode(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """From the tower's levels [B, D, h, w] to pixel scores [B, C + 1, h, w] and features [B, E, h, w]."""
        grid = levels[0].shape[-2:]
        mixed = [mlp(level.flatten(2).mT).mT.unflatten(2, grid) for mlp, level in zip(self.levels, levels, strict=True)]
        features = self.dropout(self.fuse(torch.cat(mixed, dim=1)))
        decoded = self.decoder(features.flatten(2).mT).mT.unflatten(2, grid)
        return self.predict(decoded), features

    def forward(self, images: Tensor) -> WeClipOutput:  # type: ignore[override]  # of both heads
        """Classify and decode; `logits` and `pixel_scores` give the decoder's scores alone."""
        seen = self.look(images)
        return WeClipOutput(seen.logits, *self.decode(seen.levels))

    def logits(self, images: Tensor) -> Tensor:
        """Scores of the patches [B, C + 1, h, w]."""
        return self.decode(self.look(images).levels)[0]

    def pixel_scores(self, images: Tensor) -> Tensor:
        """Scores of the pixels [B, C + 1, H, W]."""
        return F.interpolate(self.logits(images), images.shape[-2:], mode="bilinear", align_corners=False)


def affinities(features: Tensor) -> Tensor:
    """How alike patches are to the decoder: sigmoid of the dot products of features [B, E, h, w], [B, N, N]."""
    flat = features.flatten(2)
    return (flat.mT @ flat).sigmoid()


register("weclip_vit_base_16", WeClip, "WeCLIP on CLIP's ViT-B/16", predicts_masks=True, **VIT_B_16)
register(
    "weclip_vit_tiny_8",
    WeClip,
    "WeCLIP, small enough for the built-in data, 96 px",
    predicts_masks=True,
    width=64,
    decoder_blocks=1,
    decoder_heads=4,
    **TINY_TOWER,
)
