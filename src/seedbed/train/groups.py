"""Parameter groups: which parameters share a learning-rate factor and a weight decay."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from seedbed.errors import ParameterError, unknown_name

Group = dict[str, Any]


def parameter_groups(name: str, model: nn.Module, weight_decay: float, lr_scales: Mapping[str, float]) -> list[Group]:
    """Return optimiser groups with ``params``, ``lr_scale`` and ``weight_decay``.

    Args:
        name: ``standard``: no decay on vectors and on what ``model.no_weight_decay()`` names; ``uniform``: decay on
            everything; ``own``: the network's own ``parameter_groups(weight_decay)``.
        model: the network; parameters that need no gradient are left out.
        weight_decay: decay of the decayed groups.
        lr_scales: parameter name prefix -> factor on the learning rate; the longest matching prefix counts.

    Raises:
        ParameterError: the name is unknown, the network has no groups of its own, or a prefix matches nothing.
    """
    if name not in _GROUPINGS:
        raise ParameterError(unknown_name("parameter grouping", name, _GROUPINGS))
    return _GROUPINGS[name](model, weight_decay, dict(lr_scales))


def _standard(model: Any, weight_decay: float, lr_scales: dict[str, float]) -> list[Group]:
    spared = set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()
    return _collect(model, lr_scales, lambda name, p: 0.0 if p.ndim <= 1 or name in spared else weight_decay)


def _uniform(model: nn.Module, weight_decay: float, lr_scales: dict[str, float]) -> list[Group]:
    return _collect(model, lr_scales, lambda name, p: weight_decay)


def _own(model: Any, weight_decay: float, lr_scales: dict[str, float]) -> list[Group]:
    if not hasattr(model, "parameter_groups"):
        raise ParameterError(f"{type(model).__name__} has no parameter groups of its own; choose standard or uniform.")
    if lr_scales:
        raise ParameterError("lr_scales cannot be combined with groups: own; the network sets its own factors.")
    return model.parameter_groups(weight_decay)


def _collect(model: nn.Module, lr_scales: dict[str, float], decay_of: Callable[[str, Any], float]) -> list[Group]:
    groups: dict[tuple[float, float], Group] = {}
    unused = set(lr_scales)
    for name, parameter in model.named_parameters():
        matching = [prefix for prefix in lr_scales if name.startswith(prefix)]
        unused.difference_update(matching)
        if not parameter.requires_grad:
            continue
        scale = lr_scales[max(matching, key=len)] if matching else 1.0
        key = (scale, decay_of(name, parameter))
        group = groups.setdefault(key, {"params": [], "lr_scale": scale, "weight_decay": key[1]})
        group["params"].append(parameter)
    if unused:
        raise ParameterError(f"lr_scales: no parameter of {type(model).__name__} starts with {sorted(unused)}.")
    return list(groups.values())


_GROUPINGS: dict[str, Callable[[nn.Module, float, dict[str, float]], list[Group]]] = {
    "standard": _standard,
    "uniform": _uniform,
    "own": _own,
}
