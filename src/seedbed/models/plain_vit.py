"""Plain Vision Transformers of timm's as backbones of dense networks: tokens of blocks laid out on their grid."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from seedbed.errors import ParameterError
from seedbed.models.registry import create_model


def plain_vit(architecture: str, **options: Any) -> VisionTransformer:
    """A Vision Transformer of timm's without a classifier, for images of any size.

    Raises:
        ParameterError: the name is not that of a plain Vision Transformer, or an option is unknown.
    """
    vit = create_model(architecture, num_classes=0, dynamic_img_size=True, **options)
    if not isinstance(vit, VisionTransformer) or not hasattr(vit.patch_embed, "patch_size"):
        raise ParameterError(f"architecture: '{architecture}' is no plain Vision Transformer of timm's.")
    return vit


def block_maps(vit: VisionTransformer, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """Tokens of the chosen blocks after the last norm, each [B, C, h, w], without the class token.

    Args:
        vit: of `plain_vit`.
        images: normalised [B, 3, H, W]; resized bilinearly to the nearest whole number of patches, so that the grid
            covers the image from edge to edge.
        blocks: from 0, or from the end as -1.

    Raises:
        ParameterError: the transformer has no such block.
    """
    numbers = block_numbers(vit, blocks)
    patch: Any = vit.patch_embed.patch_size
    size = tuple(max(1, round(side / one)) * one for side, one in zip(images.shape[-2:], patch, strict=True))
    if size != tuple(images.shape[-2:]):
        images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
    maps: Any = vit.forward_intermediates(
        images, indices=sorted(set(numbers)), norm=True, output_fmt="NCHW", intermediates_only=True
    )
    found = dict(zip(sorted(set(numbers)), maps, strict=True))
    return [found[number] for number in numbers]


def block_numbers(vit: VisionTransformer, blocks: Sequence[int]) -> list[int]:
    """Blocks counted from 0.

    Raises:
        ParameterError: the transformer has no such block.
    """
    depth = len(vit.blocks)
    wrong = [number for number in blocks if not -depth <= number < depth]
    if wrong:
        raise ParameterError(f"blocks: {wrong[0]} is none of the transformer's {depth}, 0 to {depth - 1} or from -1.")
    return [number % depth for number in blocks]
