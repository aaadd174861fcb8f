"""Hooks and patched forwards: explainers read a network's weights, so what others hang on it is not in the maps."""

import torch
from torch import Tensor, nn

from seedbed.errors import UserError
from seedbed.explain.evaluated import evaluated
from seedbed.models.outputs import logits_of


def hooked(model: nn.Module) -> list[str]:
    """Names of the modules that have a forward hook or a ``forward`` of their own."""
    found = []
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            found.append(name or "the model itself")
    return found


def require_unchanged(model: nn.Module, images: Tensor, names: list[str]) -> None:
    """Refuse a network whose answer changes when its hooks and patched forwards are taken away; watching is harmless.

    Args:
        model: the network.
        images: [B, channels, H, W], as it takes them; the first is tried.
        names: what `hooked` found.

    Raises:
        UserError: the answers differ.
    """
    # A hook may know its module by identity, so a twin of it takes its place only where the model is in training.
    as_is = evaluated(model, hooks=True) if any(module.training for module in model.modules()) else model
    seen, bare = (logits_of(one(images[:1])) for one in (as_is, evaluated(model)))
    if seen.shape != bare.shape or not torch.allclose(seen, bare, equal_nan=True):
        where = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise UserError(
            f"Hooks or a patched forward on {where} change what this {type(model).__name__} answers, and maps would "
            "not show it. Remove them (handle.remove(), del module.forward), or write what they do as a module."
        )
