"""The plain sum of self-attention over all layers and heads (AGCAM, figures 1 and 3): where peaks come from."""

from typing import Literal

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.forward import read_rows, run_blocks
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import unreadable
from seedbed.explain.vit import ViT

_ACTIVATIONS = {"softmax": lambda scores: scores.softmax(-1), "sigmoid": torch.sigmoid}


@explainer(
    "attention_sum",
    needs=unreadable,
    class_specific=False,
    description="Sum over layers and heads of the class token's attention, after softmax or sigmoid of the scores",
)
def attention_sum(model: nn.Module, images: Tensor, *, activation: Literal["softmax", "sigmoid"] = "softmax") -> Tensor:
    """Return [B, h, w]: the read row of the scaled scores after ``activation``, summed over layers and heads.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        activation: ``softmax``, as the network uses them, or ``sigmoid``, as AGCAM's feature maps do (equation 2).

    Raises:
        ParameterError: the activation is unknown.
    """
    if activation not in _ACTIVATIONS:
        raise ParameterError(unknown_name("activation of attention_sum", activation, _ACTIVATIONS))
    vit = ViT(model)
    readout = vit.readout()
    tokens, grid = vit.embed(images)
    total = torch.zeros((), device=tokens.device)
    for record in run_blocks(vit, tokens, readout):
        total = total + _ACTIVATIONS[activation](read_rows(record, readout.rows).scores).sum((1, 2))
    return total[:, vit.prefix :].unflatten(1, grid)
