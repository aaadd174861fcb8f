"""The four parameter groups of PSA's optimiser, shared by the affinity and segmentation networks."""

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from seedbed.errors import ParameterError

LR_SCALES = (1.0, 2.0, 10.0, 20.0)


def four_parameter_groups(
    model: nn.Module, weight_decay: float, new_layers: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Split the trained parameters into four groups for an optimiser, as PSA's published code does.

    In order: pretrained weights (scale 1, decay), pretrained biases (2, no decay), new weights (10, decay), new biases
    (20, no decay). Parameters that are not trained are left out; a group may be empty.

    Args:
        model: the network.
        weight_decay: of the weights.
        new_layers: names of modules trained from scratch; by default those the network declares.

    Returns:
        Dictionaries with ``params``, ``lr_scale`` (factor on the base learning rate) and ``weight_decay``.

    Raises:
        ParameterError: no new layers are known, or one does not exist in the model.
    """
    layers = getattr(model, "new_layers", None) if new_layers is None else new_layers
    if layers is None:
        raise ParameterError(f"{type(model).__name__} does not say which layers are new; pass new_layers.")
    names = [name for name, _ in model.named_parameters()]
    for layer in layers:
        if not any(_inside(name, layer) for name in names):
            raise ParameterError(f"{type(model).__name__} has no layer '{layer}' with parameters.")
    groups: list[dict[str, Any]] = [
        {"params": [], "lr_scale": scale, "weight_decay": 0.0 if i % 2 else weight_decay}
        for i, scale in enumerate(LR_SCALES)
    ]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_new = any(_inside(name, layer) for layer in layers)
            groups[2 * is_new + name.endswith(".bias")]["params"].append(parameter)
    return groups


class FourGroups:
    """Mixin of networks trained with the four groups; they declare ``new_layers``."""

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """The network's own optimiser groups, see `four_parameter_groups`."""
        return four_parameter_groups(cast(nn.Module, self), weight_decay)


def _inside(name: str, layer: str) -> bool:
    return name.startswith(f"{layer}.")
