"""Localisation maps of MCTformer-V2 and MCTformer+ from class-to-patch attention, patch head and patch affinities."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seedbed.errors import ParameterError
from seedbed.models.mctformer import MCTformer, MCTformerOutput

CLASS_ATTENTION_LAYERS = 3  # the last layers whose class attention is used in the published runs


class MCTformerMaps(NamedTuple):
    """Maps of one scale; `C` classes, `h` x `w` patches, `P = h * w`, `L` layers. All float, detached.

    Attributes:
        class_logits: [B, C].
        class_attention: [B, C, h, w], class-to-patch attention of the last layers, >= 0: V2's sum, MCTformer+'s mean.
        patch_cam: [B, C, h, w], the patch head's maps without their negative part.
        fused: [B, C, h, w], the product of the two (V2), or its square root (MCTformer+).
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
    attention: list[Tensor], grid: tuple[int, int], num_layers: int = CLASS_ATTENTION_LAYERS, *, mean: bool = False
) -> Tensor:
    """Sum the class tokens' attention to the patches over the last layers, or take its mean.

    Args:
        attention: per layer [B, T, T], averaged over heads, class tokens first.
        grid: (h, w) of the patches.
        num_layers: how many of the last layers, 1 to all.
        mean: divide the sum by their number.

    Returns:
        [B, C, h, w] with C = T - h * w.
    """
    if not 1 <= num_layers <= len(attention):
        raise ParameterError(f"num_layers={num_layers}: the network has {len(attention)} layers, choose 1 to that.")
    classes = attention[0].shape[-1] - grid[0] * grid[1]
    summed: Any = sum(layer[:, :classes, classes:] for layer in attention[-num_layers:])
    return (summed / num_layers if mean else summed).unflatten(2, grid)


def patch_affinities(attention: list[Tensor], num_patches: int) -> Tensor:
    """Patch-to-patch part of the head-mean attention of every layer: [B, L, P, P], rows not renormalised."""
    return torch.stack([layer[:, -num_patches:, -num_patches:] for layer in attention], dim=1)


def fuse(model: MCTformer, output: MCTformerOutput, num_layers: int = CLASS_ATTENTION_LAYERS) -> tuple[Tensor, Tensor]:
    """Class attention and its product with the patch head's maps, as `model`'s published code has them.

    V2 sums the attention of the last layers and takes the product itself; MCTformer+ takes the mean and the square
    root. Neither normalises.

    Args:
        model: says which of the two.
        output: of `model`, with ``attention="mean"``.
        num_layers: how many of the last layers give class attention.

    Returns:
        Class attention and fused map, [B, C, h, w] each, >= 0.
    """
    height, width = output.patch_maps.shape[-2:]
    if output.attention is None:
        raise ParameterError("Maps need the attention: run the network with attention='mean'.")
    grid = (height, width)
    attention = class_to_patch_attention(output.attention, grid, num_layers, mean=model.attention_is_mean)
    product = attention * output.patch_maps.relu()
    return attention, product.sqrt() if model.map_is_root else product


@torch.no_grad()
def mctformer_maps(
    model: MCTformer, images: Tensor, class_attention_layers: int = CLASS_ATTENTION_LAYERS
) -> MCTformerMaps:
    """Run `model` once and make its maps as its published code does, see `fuse`.

    Args:
        model: in evaluation mode.
        images: [B, 3, H, W], normalised.
        class_attention_layers: how many of the last layers give class attention (published runs: 3).
    """
    output = model(images, attention="mean")
    grid, patch_cam = output.patch_maps.shape[-2:], output.patch_maps.relu()
    class_attention, fused = fuse(model, output, class_attention_layers)
    affinity = patch_affinities(output.attention, grid[0] * grid[1])
    refined = torch.einsum("bij,bcj->bci", affinity.sum(dim=1), fused.flatten(2)).unflatten(2, grid)
    return MCTformerMaps(output.class_logits, class_attention, patch_cam, fused, affinity, refined)
