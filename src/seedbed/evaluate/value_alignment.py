"""How far attention reaches the bound of equation 5 of eX-ViT, layer by layer.

The paper writes S = ‖A‖ ‖V‖ cos(A, V) <= ‖V‖ for E-MHA and argues that training drives A to align with V, since only
then S is largest (section 3.2); it measures neither. Read row by row, ‖S_i‖ = ‖A_i V‖ <= ‖A_i‖ ‖V‖_F, with ‖A_i‖ = 1 in
E-MHA. The measurement is our own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.explain.exvit_maps import not_an_exvit
from seedbed.models.transformer import AttentionRecord
from seedbed.settings.checked import checked


@checked
def alignment(attention: Tensor, values: Tensor) -> Tensor:
    """cos(A, V) of equation 5 for each row: ‖A_i V‖ / (‖A_i‖ ‖V‖_F), the share of the bound that S_i reaches.

    Args:
        attention: [..., R, N] floating, of any sign; for E-MHA ‖A_i‖ = 1.
        values: [..., N, w] floating.

    Returns:
        [..., R] float64 in 0..1; 0 where the row or the values are zero.

    Raises:
        DataError: the shapes do not fit.
    """
    if attention.ndim < 2 or values.ndim < 2 or attention.shape[-1] != values.shape[-2]:
        raise DataError(f"Attention {tuple(attention.shape)} and values {tuple(values.shape)} do not fit each other.")
    rows, v = attention.double(), values.double()
    bound = rows.norm(dim=-1) * v.flatten(-2).norm(dim=-1, keepdim=True)
    return ((rows @ v).norm(dim=-1) / bound.clamp(min=torch.finfo(torch.float64).tiny)).clamp(max=1)


@checked
def greatest_alignment(values: Tensor) -> Tensor:
    """The alignment of the best row that there is for these values: their largest singular value over ‖V‖_F.

    Args:
        values: [..., N, w] floating.

    Returns:
        [...] float64 in 0..1: 1 where all values are multiples of one vector, 0 where they are zero.
    """
    v = values.double()
    largest = torch.linalg.eigvalsh(v.mT @ v)[..., -1].clamp(min=0).sqrt()
    return (largest / v.flatten(-2).norm(dim=-1).clamp(min=torch.finfo(torch.float64).tiny)).clamp(max=1)


@torch.no_grad()
@checked
def image_alignments(model: Any, image: Tensor) -> dict[str, float | list[float]]:
    """Alignment in every layer for one image, mean over heads and queries.

    Args:
        model: an eX-ViT, with either attention, which evaluates.
        image: [1, 3, H, W], normalised.

    Returns:
        Lists with a number a layer: ``alignment_per_layer``; ``uniform_per_layer``, that of a row that attends to all
        places alike; ``greatest_per_layer``, that of the best row for the layer's values. And ``alignment_chance``, the
        root mean square of a row of random direction: 1 / √N.

    Raises:
        ParameterError: the network is no eX-ViT.
    """
    if reason := not_an_exvit(model):
        raise ParameterError(f"Equation 5 is measured on an eX-ViT: {reason}. Give the row such a model.")
    patches = model.patch_embed(image)
    tokens = patches.flatten(2).transpose(1, 2) + model.positions((int(patches.shape[-2]), int(patches.shape[-1])))
    found: dict[str, list[float]] = {name: [] for name in ("alignment", "uniform", "greatest")}
    for block in model.blocks:
        values, record = _values(block, tokens), AttentionRecord(attention="heads")
        tokens = block(tokens, record)
        [attention] = record.attention or []
        found["alignment"].append(float(alignment(attention, values).mean()))
        found["uniform"].append(float(alignment(torch.ones_like(attention[..., :1, :]), values).mean()))
        found["greatest"].append(float(greatest_alignment(values).mean()))
    return {"alignment_chance": tokens.shape[1] ** -0.5, **{f"{name}_per_layer": each for name, each in found.items()}}


def _values(block: Any, tokens: Tensor) -> Tensor:
    """V of equation 1 in a block, [B, heads, N, w], from its input [B, N, d]."""
    joined: Tensor = block.attn.qkv(block.norm1(tokens)).chunk(3, dim=-1)[2]
    return joined.unflatten(-1, (block.attn.heads, -1)).transpose(1, 2)
