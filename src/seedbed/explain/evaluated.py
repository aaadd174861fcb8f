"""A network as it evaluates, without a change to the network: other threads may train or use it meanwhile."""

import copy
from collections import OrderedDict
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import nn

from seedbed.settings.kinds import MapPrecision

Network = TypeVar("Network", bound=nn.Module)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_MARK = "_evaluated_alone"  # of a twin that needs no other


def evaluated(model: Network, *, hooks: bool = False) -> Network:
    """A twin of ``model`` that shares its weights and buffers, with every module in evaluation mode.

    Nothing of the model is touched, now or when the twin runs: a network has its flags, and the tables of its
    parameters, for all threads at once.

    Args:
        model: any network; a twin is returned as it is.
        hooks: keep forward hooks and patched forwards, which a twin made without them does not get back; otherwise
            nobody sees it run.
    """
    if _MARK in vars(model):
        return model
    twins: dict[int, nn.Module] = {}
    twin = _twin(model, twins, hooks)
    for one in twins.values():
        _turn_to(one, twins)
    if not hooks:
        vars(twin)[_MARK] = True
    return twin


def explained_on(model: Network, device: torch.device, precision: MapPrecision = "float32") -> Network:
    """The network that maps are made with: ``model``, moved to a device, as it evaluates; for float64, of a copy."""
    moved = model.to(device)
    return evaluated(moved if precision == "float32" else copy.deepcopy(moved).double(), hooks=True)


def _twin(module: Any, twins: dict[int, nn.Module], hooks: bool) -> Any:
    """A copy of one module and of those below; a module that is in two places stays one."""
    if id(module) in twins:
        return twins[id(module)]
    if type(module).__name__ == "OptimizedModule":  # what torch.compile made of it leads to the original's flags
        twins[id(module)] = _twin(module._orig_mod, twins, hooks)
        return twins[id(module)]
    twin: Any = object.__new__(type(module))
    own = twin.__dict__
    own.update(module.__dict__)
    twins[id(module)] = twin
    own["training"] = False
    for table in ("_parameters", "_buffers"):
        own[table] = type(own[table])(own[table])
    if not hooks:
        own.pop("forward", None)
        own.update({name: OrderedDict() for name in _HOOKS})
    own["_modules"] = {name: child and _twin(child, twins, hooks) for name, child in module._modules.items()}
    return twin


def _turn_to(twin: nn.Module, twins: dict[int, nn.Module]) -> None:
    """Let what a module keeps beside its children, such as a patched ``forward``, lead to twins, not to originals."""
    for name, value in list(vars(twin).items()):
        if isinstance(value, MethodType) and id(value.__self__) in twins:
            vars(twin)[name] = MethodType(value.__func__, twins[id(value.__self__)])
        elif isinstance(value, nn.Module) and id(value) in twins:
            vars(twin)[name] = twins[id(value)]
