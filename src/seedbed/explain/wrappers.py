"""Networks inside of something else: parallel, compiled and averaging models, Lightning modules, trainers' records."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

_KNOWN = {
    "module": ("DataParallel", "DistributedDataParallel", "AveragedModel", "ModelEmaV2", "ModelEmaV3"),
    "_orig_mod": ("OptimizedModule",),
    "_fsdp_wrapped_module": ("FullyShardedDataParallel",),
    "ema": ("ModelEma",),
}
"""Attribute that holds the network -> classes that wrap one; some answer as the network in all but their weights."""
_DEPTH = 3


def wrapped_in(model: object) -> str:
    """Where the network is within the known wrappers that ``model`` is, such as ``.module._orig_mod``; else empty."""
    for attribute, names in _KNOWN.items():
        inner = getattr(model, attribute, None) if type(model).__name__ in names else None
        if isinstance(inner, nn.Module):
            return f".{attribute}{wrapped_in(inner)}"
    return ""


def network_within(model: object, able: Callable[[nn.Module], bool]) -> str:
    """Where the nearest part of something is that ``able`` accepts, such as ``.model`` or ``[0]``; else empty."""
    level: list[tuple[str, Any]] = [("", model)]
    for _ in range(_DEPTH):
        level = [(path + inner, part) for path, outer in level for inner, part in _parts(outer)]
        if found := next((path for path, part in level if able(part)), None):
            return found + wrapped_in(dict(level)[found])
    return ""


def _parts(outer: object) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(outer, nn.Module):
        yield from ((f"[{name}]" if name.isdigit() else f".{name}", part) for name, part in outer.named_children())
    else:
        found = getattr(outer, "__dict__", {}).items()
        yield from ((f".{name}", part) for name, part in found if isinstance(part, nn.Module))
