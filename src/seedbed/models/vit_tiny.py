"""Small Vision Transformers of timm's own classes, for the built-in 96-pixel data.

``vit_tiny_patch8_96`` stands in for ViT-B/16 and DeiT; ``vit_tiny_r_s8`` for the hybrid R50 + ViT-B/16 of the [Re]
paper, whose classes it shares: a not pre-activated ResNetV2 with weight-standardised convolutions, TensorFlow's
padding and GroupNorm, projected to tokens by HybridEmbed.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from timm.layers import GroupNormAct, HybridEmbed, StdConv2dSame
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer

from seedbed.models.registry import register

TRANSFORMER: dict[str, Any] = {"img_size": 96, "embed_dim": 96, "depth": 4, "num_heads": 4}
HALF = (0.5, 0.5, 0.5)  # mean and standard deviation, as for the ViT weights of both kinds


def vit_tiny_r_s8(
    num_classes: int,
    *,
    layers: Sequence[int] = (1, 1),
    channels: Sequence[int] = (64, 128),
    stem_width: int = 32,
    norm_groups: int = 8,
    **transformer: Any,
) -> VisionTransformer:
    """Hybrid of a short ResNetV2 at stride 4 * 2^(len(layers) - 1) and a Vision Transformer on its cells.

    Args:
        num_classes: outputs of the head on the class token.
        layers, channels: blocks and output channels of each ResNetV2 stage.
        stem_width: channels of the 7x7 stem.
        norm_groups: of every GroupNorm; divides `stem_width` and a quarter of each of `channels`.
        **transformer: arguments of timm's VisionTransformer.
    """
    backbone = ResNetV2(
        layers=list(layers),
        channels=tuple(channels),
        num_classes=0,
        global_pool="",
        stem_chs=stem_width,
        stem_type="same",
        preact=False,
        conv_layer=partial(StdConv2dSame, eps=1e-8),
        norm_layer=partial(GroupNormAct, num_groups=norm_groups),
    )
    embed = partial(HybridEmbed, backbone=backbone)
    return VisionTransformer(patch_size=1, num_classes=num_classes, embed_layer=embed, **transformer)


def vit_tiny_patch8_96(num_classes: int, **transformer: Any) -> VisionTransformer:
    """A plain Vision Transformer with 12 x 12 patches of 8 pixels; takes timm's VisionTransformer's arguments."""
    return VisionTransformer(num_classes=num_classes, **transformer)


register(
    "vit_tiny_r_s8",
    vit_tiny_r_s8,
    "Hybrid CNN + ViT, small enough for the built-in data, 96 px",
    mean=HALF,
    std=HALF,
    mlp_ratio=2.0,
    **TRANSFORMER,
)
register(
    "vit_tiny_patch8_96",
    vit_tiny_patch8_96,
    "Plain ViT, small enough for the built-in data, 96 px",
    mean=HALF,
    std=HALF,
    patch_size=8,
    mlp_ratio=3.0,
    **TRANSFORMER,
)
