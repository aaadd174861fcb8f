"""Strict loading: every tensor of the model gets one of the right shape, every tensor of the file is used, or one
error lists all that do not fit."""

import inspect
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.io.notice import notice
from seedbed.models.weights.conversion import LAYOUTS
from seedbed.models.weights.reading import read_checkpoint
from seedbed.models.weights.unwrapping import Found, common_prefix, find_weights

log = logging.getLogger(__name__)

COUNTER = ".num_batches_tracked"  # of batch norms: not a weight, and absent from older files


class LoadedWeights(NamedTuple):
    """What `load_weights` did.

    Attributes:
        loaded: names of the model that were filled.
        dropped: names of the file that were left out.
        fresh: names of the model that were left as initialised.
        taken: the checkpoint's entry that the weights were under, such as ``state_dict_ema``; empty without one.
    """

    loaded: list[str]
    dropped: list[str]
    fresh: list[str]
    taken: str = ""


def load_weights(
    model: nn.Module,
    source: Path | str | Mapping[str, Any],
    *,
    layout: str = "native",
    subtree: str = "",
    drop: Sequence[str] = (),
    fresh: Sequence[str] = (),
    grid: Sequence[int] | None = None,
) -> LoadedWeights:
    """Fill `model` in place from a file or a dictionary of tensors; all or nothing.

    What wrappers put before names (``module.``, ``_orig_mod.``, ``model.``, ``backbone.``) is taken off where the
    model's names begin after it. Of a running average and the raw weights beside it, the average is taken, as timm
    does, and that is said.

    Args:
        model: the network, on any device; its dtype is kept.
        source: a file for `read_weights`, a checkpoint's content, or named tensors.
        layout: how the source names its tensors: ``native``, ``checkpoint`` or ``pretrained_classifier``, or one that
            stands beside a network, such as ``resnet38_mxnet``.
        subtree: take only what lies below this entry of the checkpoint (``student``), this module
            (``patch_embed.backbone``), or this module of that entry (``teacher.backbone``), under the names within it.
        drop: modules of the source to leave out on purpose, e.g. ``("fc",)``.
        fresh: modules of the model to leave as they are initialised, besides those the layout leaves.
        grid: rows and columns of the source's patches, if they form no square; see `seedbed.models.weights.positions`.

    Returns:
        What was loaded, left out and left as it was.

    Raises:
        DataError: the file is missing or broken, or tensors are missing, left over or of the wrong shape (all of them
            in one message).
        ParameterError: the layout is unknown or knows no grid, or `subtree`, `drop` or `fresh` names something that
            does not exist.
    """
    convert = LAYOUTS.find(layout)
    options = {} if grid is None else {"grid": grid}
    if options and "grid" not in inspect.signature(convert).parameters:
        raise ParameterError(f"grid: layout '{layout}' moves no positions to another grid; leave it out.")
    label = str(source) if isinstance(source, str | Path) else "the tensors given"
    state = model.state_dict()
    parts = {name.partition(".")[0] for name in state}
    if isinstance(source, str | Path):
        found = read_checkpoint(source, subtree, parts)
    else:
        found = _given(source, label, subtree, parts)
    _say_which(found, label)
    tensors, dropped = _select(found, state, drop, label)
    converted = convert(tensors, model, **options)
    left = _names_below(state, fresh, f"{type(model).__name__}")
    left |= {name for name in state if any(_below(name, layer) for layer in converted.fresh)}
    _require_fit(converted.tensors, {n: t for n, t in state.items() if n not in left}, label, type(model).__name__)
    with torch.no_grad():
        for name, tensor in converted.tensors.items():
            state[name].copy_(tensor)
    return LoadedWeights(
        sorted(converted.tensors), sorted({*dropped, *converted.dropped}), sorted(left), _spelled_place(found, subtree)
    )


def _given(source: Mapping[str, Any], label: str, subtree: str, parts: Collection[str]) -> Found:
    if all(isinstance(value, Tensor) for value in source.values()):
        return Found(dict(source), "", (), subtree)
    return find_weights(source, label, subtree, parts)


def _spelled_place(found: Found, subtree: str) -> str:
    return ".".join(filter(None, (found.place, found.rest))) if found.place or subtree else ""


def _say_which(found: Found, label: str) -> None:
    if found.beside:
        notice.warning(
            "%s: the weights under '%s' are taken, not those under %s (subtree: %s takes these).",
            label,
            found.place,
            ", ".join(f"'{name}'" for name in found.beside),
            found.beside[0],
        )
    elif found.place:
        log.info("%s: the weights under '%s' are taken", label, found.place)


def _select(
    found: Found, state: Mapping[str, Tensor], drop: Sequence[str], label: str
) -> tuple[dict[str, Tensor], set[str]]:
    """The tensors below the wanted subtree without those dropped, under the model's names, and the names left out."""
    tensors = found.tensors
    outside = set(tensors) - _names_below(tensors, (found.rest,), label) if found.rest else set()
    within = f"{found.rest}." if found.rest else ""
    wrapper = within + common_prefix([n.removeprefix(within) for n in tensors if n not in outside], state)
    if wrapper != within:
        log.info("%s: '%s' before its names is taken off", label, wrapper)
    short = {name: name.removeprefix(wrapper) for name in tensors if name not in outside}
    # A module to drop may be named as in the file, or as messages name it.
    left_out = outside.union(*(_dropped(module, tensors, short, label) for module in drop))
    kept = [name for name in tensors if name not in left_out]
    if len({short[name] for name in kept}) < len(kept):
        raise DataError(f"{label}: names occur with '{wrapper}' and without; say which: subtree: {wrapper[:-1]}.")
    return {short[name]: tensors[name] for name in kept}, left_out


def _dropped(module: str, tensors: Mapping[str, Tensor], short: Mapping[str, str], label: str) -> set[str]:
    below = {name for name in short if _below(short[name], module)}
    return below or _names_below(tensors, (module,), label)


def _names_below(names: Iterable[str], modules: Sequence[str], label: str) -> set[str]:
    """Names of tensors of the given modules; a module without any is a mistake of the caller."""
    found = set()
    for module in modules:
        below = {name for name in names if _below(name, module)}
        if not below:
            raise ParameterError(f"{label} has no tensors below '{module}'.")
        found |= below
    return found


def _below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module.rstrip('.')}.")


def _require_fit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], label: str, model: str) -> None:
    missing = [name for name in wanted if name not in given and not name.endswith(COUNTER)]
    extra = [name for name in given if name not in wanted]
    misshapen = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    kinds = (("missing", missing), ("left over", extra), ("of another shape", misshapen))
    problems = [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in kinds if names]
    if problems:
        raise DataError(
            f"The weights in {label} do not fit {model}: {'; '.join(problems)}. Choose the layout they were "
            "published in, or name what to drop and what to leave fresh."
        )
