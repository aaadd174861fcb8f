"""How large a network is: its parameters, its layers, and the work of one image ([Re], table 1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seedbed.errors import ParameterError


@torch.no_grad()
def network_size(model: nn.Module, size: tuple[int, int], device: torch.device) -> dict[str, int | None]:
    """Measure a network that evaluates.

    Args:
        model: classifier on ``device``; it takes images [B, 3, H, W].
        size: (H, W) of one image.
        device: where the network is.

    Returns:
        ``parameters``: numbers that are trained or frozen, each counted once, buffers left out.
        ``multiply_adds``: of convolutions and matrix products for one image, which papers call FLOPs.
        ``layers``, ``heads``, ``hidden_size``, ``mlp_size``: how many layers of attention there are, and of the first
        its heads, the width that it reads and that of the MLP behind it; None for a network without any.

    Raises:
        ParameterError: the network does not take images of the size.
    """
    # The fused kernels of attention count nothing; the plain one is two matrix products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        try:
            model(torch.zeros(1, 3, *size, device=device))
        except (AssertionError, RuntimeError) as error:
            raise ParameterError(
                f"The network does not take images of {size[0]} x {size[1]} pixels: {error}"
            ) from error
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
        **_transformer(model),
    }


def _transformer(model: nn.Module) -> dict[str, int | None]:
    attentions: list[Any] = [part for part in model.modules() if hasattr(part, "num_heads") and hasattr(part, "qkv")]
    widened: list[Any] = [part for part in model.modules() if hasattr(part, "fc1") and hasattr(part, "fc2")]
    if not attentions:
        return dict.fromkeys(("layers", "heads", "hidden_size", "mlp_size"))
    return {
        "layers": len(attentions),
        "heads": int(attentions[0].num_heads),
        "hidden_size": int(attentions[0].qkv.in_features),
        "mlp_size": int(widened[0].fc1.out_features) if widened else None,
    }
