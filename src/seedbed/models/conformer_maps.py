"""Localisation maps of TransCAM (Li et al. 2023): class maps of the CNN refined by the transformer's attention."""

from typing import NamedTuple

import torch
from torch import Tensor

from seedbed.models.conformer import Conformer


class ConformerMaps(NamedTuple):
    """Maps of one scale; `C` outputs, `h` x `w` cells, `P = h * w`, `L` layers. All signed but the attention.

    With m the convolutional class map and A the sum over all layers of the head-mean patch-to-patch attention (rows
    not renormalised):

    Attributes:
        conv_logits, trans_logits: [B, C].
        conv_cam: [B, C, h, w], m itself, without a ReLU.
        trans_cam: sum_j A[i, j] m[j], the map TransCAM is named after.
        aggregated_cam: sum_j A[j, i] m[j].
        class_attention_cam: m times the summed attention of the class token to the patches.
        affinity: [B, L, P, P], head-mean patch-to-patch attention of every layer.
    """

    conv_logits: Tensor
    trans_logits: Tensor
    conv_cam: Tensor
    trans_cam: Tensor
    aggregated_cam: Tensor
    class_attention_cam: Tensor
    affinity: Tensor


@torch.no_grad()
def conformer_maps(model: Conformer, images: Tensor) -> ConformerMaps:
    """Run `model` (in evaluation mode) once on normalised images [B, 3, H, W] and combine maps and attention."""
    output = model(images, attention="mean")
    maps = output.conv_maps
    flat = maps.flatten(2)
    affinity = torch.stack([layer[:, 1:, 1:] for layer in output.attention], dim=1)
    summed = affinity.sum(dim=1)
    class_attention = sum(layer[:, :1, 1:] for layer in output.attention)
    return ConformerMaps(
        output.conv_logits,
        output.trans_logits,
        maps,
        torch.einsum("bij,bcj->bci", summed, flat).view_as(maps),
        torch.einsum("bji,bcj->bci", summed, flat).view_as(maps),
        (flat * class_attention).view_as(maps),
        affinity,
    )
