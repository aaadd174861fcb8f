"""Which of a checkpoint's entries are the weights, and what wrappers have put before their names."""

import re
from collections.abc import Collection, Mapping, Sequence
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seedbed.errors import DataError, ParameterError

KNOWN = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "weights", "params")
"""Entries under which training scripts file the weights, those first that timm takes first."""
KNOWN_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "teacher")
AVERAGE = re.compile(r"(^|_)(ema|swa|avg|averaged?|teacher)(_|\d|$)")
NO_WEIGHTS = re.compile(
    r"optim|sched|scaler|(^|_)(amp|rng|loss|losses|criterion|queue|callbacks|loops)(_|$)|param_groups"
)
INNER_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Modules that PyTorch's compiler, sharding and recomputation put between a network and its parts."""


class Found(NamedTuple):
    """The weights of a checkpoint.

    Attributes:
        tensors: by name, without what wrappers put before it.
        place: the entry they were under, such as ``state_dict_ema``; empty where they lay open.
        beside: entries with other weights, which were not taken.
        rest: what of a wanted subtree names modules within ``tensors``.
    """

    tensors: dict[str, Tensor]
    place: str
    beside: tuple[str, ...]
    rest: str


def find_weights(content: Any, source: str, subtree: str = "", parts: Collection[str] = ()) -> Found:
    """Find the named tensors in a checkpoint's content.

    A running average is taken before the raw weights beside it, as timm does, and a teacher before its student: it is
    the student's running average.

    Args:
        content: what a file held.
        source: the file, for errors.
        subtree: entry, or entries joined by dots, to take instead; what follows names modules within it.
        parts: names of the network's modules: entries that are all among them (``backbone``, ``head``) belong together.

    Raises:
        DataError: there are no named tensors, or several and none is known to be the one.
        ParameterError: there is no such subtree.
    """
    place: list[str] = []
    beside: list[str] = []
    rest = subtree
    while not _is_state(content):
        if not isinstance(content, Mapping):
            raise DataError(
                f"{_at(source, place)} holds a {type(content).__name__}, not a dictionary of named tensors."
            )
        entries = [key for key in content if isinstance(key, str) and _holds_weights(key, content[key])]
        entry = _entry_of(content, rest)
        if entry:
            rest = rest.removeprefix(entry).removeprefix(".")
        elif len(entries) > 1 and set(entries) <= set(parts) and all(_is_state(content[key]) for key in entries):
            content = {f"{key}.{name}": value for key in entries for name, value in content[key].items()}
            continue
        else:
            entry = _chosen(entries, _at(source, place), content)
            beside += [".".join((*place, key)) for key in entries if key != entry]
        place.append(entry)
        content = content[entry]
    tensors = cleaned({name: _as_tensor(value) for name, value in content.items()})
    if rest and not any(f"{name}.".startswith(f"{rest}.") for name in tensors):
        others = f"; other weights in it: {', '.join(beside)}" if beside else ""
        raise ParameterError(f"{_at(source, place)} has no tensors below '{rest}'{others}.")
    if not rest:
        tensors, average, copies = _average_within(tensors)
        beside += [".".join((*place, name)) for name in copies]
        place += [average] if average else []
    return Found(tensors, ".".join(place), tuple(beside), rest)


def cleaned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Named tensors without the names of wrappers: those between modules, and a ``module.`` before every name.

    The counters of averaged models (``n_averaged``, ``steps``), which are no weights, go with their ``module.``.
    """
    result = {".".join(p for p in name.split(".") if p not in INNER_WRAPPERS): t for name, t in tensors.items()}
    while True:
        names = [name for name, tensor in result.items() if tensor.ndim or "." in name]
        if not names or not all(name.startswith("module.") for name in names):
            return result
        result = {name.removeprefix("module."): result[name] for name in names}


def common_prefix(names: Sequence[str], wanted: Mapping[str, Any]) -> str:
    """The module, as ``model.`` or ``backbone.net.``, without which more of the names are those of a network."""
    prefix = ""
    while True:
        here = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        known = sum(name in wanted for name in here)
        first = sorted({name.partition(".")[0] + "." for name in here if "." in name})
        inside = {one: sum(name.removeprefix(one) in wanted for name in here if name.startswith(one)) for one in first}
        best = max(first, key=lambda one: inside[one], default="")
        if best and inside[best] > known:
            return prefix + best
        deeper = [one for one in first if all(name.startswith(one) for name in here)]
        if known or not deeper:
            return ""
        prefix += deeper[0]


def _is_state(content: Any) -> bool:
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return False
    values = list(content.values())
    arrays = any(isinstance(value, Tensor | np.ndarray) for value in values)
    return arrays and all(isinstance(value, Tensor | np.ndarray | Number | np.generic) for value in values)


def _holds_weights(key: str, value: Any, depth: int = 4) -> bool:
    if NO_WEIGHTS.search(key.lower()) or not isinstance(value, Mapping) or depth == 0:
        return False
    return _is_state(value) or any(
        _holds_weights(name, inner, depth - 1) for name, inner in value.items() if isinstance(name, str)
    )


def _entry_of(content: Mapping, subtree: str) -> str:
    """The longest entry that a subtree begins with; empty if none is."""
    names = [key for key in content if isinstance(key, str) and f"{subtree}.".startswith(f"{key}.")]
    return max(names, key=len, default="") if subtree else ""


def _chosen(entries: Sequence[str], source: str, content: Mapping) -> str:
    averages = [key for key in entries if AVERAGE.search(key.lower())]
    raw = [key for key in entries if key not in averages]
    for known, found in ((KNOWN_AVERAGES, averages), (KNOWN, raw)):
        if len(found) == 1:
            return found[0]
        if first := next((key for key in known if key in found), None):
            return first
        if found:
            raise DataError(f"{source} holds several networks: {', '.join(found)}. Say which: subtree: {found[0]}.")
    odd = [key for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    raise DataError(f"{source} is not a dictionary of named tensors: look at {', '.join(map(repr, odd[:5]))}.")


def _average_within(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str, list[str]]:
    """Of two copies of one network among the tensors (``student.*``, ``teacher.*``), the running average alone."""
    below: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        first, dot, rest = name.partition(".")
        if dot:
            below.setdefault(first, {})[rest] = tensor
    copies = {first: cleaned(inner) for first, inner in below.items()}
    for average in filter(lambda one: AVERAGE.search(one.lower()), copies):
        raw = [one for one in copies if one != average and copies[one].keys() == copies[average].keys()]
        if raw:
            gone = (f"{average}.", *(f"{one}." for one in raw))
            kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(gone)}
            return copies[average] | kept, average, raw
    return tensors, "", []


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)


def _at(source: str, place: Sequence[str]) -> str:
    return source + "".join(f"[{key!r}]" for key in place)
