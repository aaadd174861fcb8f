"""Localisation maps of MCTformer-V2 from its class-to-patch attention, its patch head and its patch affinities."""

from typing import NamedTuple

import torch
from torch import Tensor

from seedbed.errors import ParameterError
from seedbed.models.mctformer import MCTformer

CLASS_ATTENTION_LAYERS = 3  # the last layers whose class attention is summed in the published runs


class MCTformerMaps(NamedTuple):
    """Maps of one scale; `C` classes, `h` x `w` patches, `P = h * w`, `L` layers. All float, detached.

    Attributes:
        class_logits: [B, C].
        class_attention: [B, C, h, w], class-to-patch attention, summed over the last layers, >= 0.
        patch_cam: [B, C, h, w], the patch head's maps without their negative part.
        fused: [B, C, h, w], the product of the two.
        affinity: [B, L, P, P], head-mean patch-to-patch attention of every layer; rows sum to less than 1.
        refined: [B, C, h, w], `fused` propagated by the sum of `affinity` over all layers ("-R").
    """

    class_logits: Tensor
    class_attention: Tensor
    patch_cam: Tensor
    fused: Tensor
    affinity: Tensor
    refined: Tensor


def class_to_patch_attention(
    attention: list[Tensor], grid: tuple[int, int], num_layers: int = CLASS_ATTENTION_LAYERS
) -> Tensor:
    """Sum the class tokens' attention to the patches over the last layers.

    Args:
        attention: per layer [B, T, T], averaged over heads, class tokens first.
        grid: (h, w) of the patches.
        num_layers: how many of the last layers to sum, 1 to all.

    Returns:
        [B, C, h, w] with C = T - h * w.
    """
    if not 1 <= num_layers <= len(attention):
        raise ParameterError(f"num_layers={num_layers}: the network has {len(attention)} layers, choose 1 to that.")
    classes = attention[0].shape[-1] - grid[0] * grid[1]
    summed = sum(layer[:, :classes, classes:] for layer in attention[-num_layers:])
    return summed.unflatten(2, grid)


def patch_affinities(attention: list[Tensor], num_patches: int) -> Tensor:
    """Patch-to-patch part of the head-mean attention of every layer: [B, L, P, P], rows not renormalised."""
    return torch.stack([layer[:, -num_patches:, -num_patches:] for layer in attention], dim=1)


@torch.no_grad()
def mctformer_maps(
    model: MCTformer, images: Tensor, class_attention_layers: int = CLASS_ATTENTION_LAYERS
) -> MCTformerMaps:
    """Run `model` once and fuse its maps as the published code does: no square root, no normalisation.

    Args:
        model: in evaluation mode.
        images: [B, 3, H, W], normalised.
        class_attention_layers: how many of the last layers give class attention (published runs: 3).
    """
    output = model(images, attention="mean")
    grid = output.patch_maps.shape[-2:]
    class_attention = class_to_patch_attention(output.attention, grid, class_attention_layers)
    patch_cam = output.patch_maps.relu()
    fused = class_attention * patch_cam
    affinity = patch_affinities(output.attention, grid[0] * grid[1])
    refined = torch.einsum("bij,bcj->bci", affinity.sum(dim=1), fused.flatten(2)).unflatten(2, grid)
    return MCTformerMaps(output.class_logits, class_attention, patch_cam, fused, affinity, refined)
