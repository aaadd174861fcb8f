"""Strict loading: every tensor of the model gets one of the right shape, every tensor of the file is used, or one
error lists all that do not fit."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.weights.conversion import LAYOUTS
from seedbed.models.weights.reading import read_weights

COUNTER = ".num_batches_tracked"  # of batch norms: not a weight, and absent from older files


class LoadedWeights(NamedTuple):
    """What `load_weights` did: names of the model loaded, of the file left out, of the model left as initialised."""

    loaded: list[str]
    dropped: list[str]
    fresh: list[str]


def load_weights(
    model: nn.Module,
    source: Path | str | Mapping[str, Tensor],
    *,
    layout: str = "native",
    subtree: str = "",
    drop: Sequence[str] = (),
    fresh: Sequence[str] = (),
) -> LoadedWeights:
    """Fill `model` in place from a file or a dictionary of tensors; all or nothing.

    Args:
        model: the network, on any device; its dtype is kept.
        source: a file for `read_weights`, or named tensors.
        layout: how the source names its tensors: ``native``, ``checkpoint`` or ``pretrained_classifier``, or one that
            stands beside a network, such as ``resnet38_mxnet``.
        subtree: take only the source's tensors below this module, e.g. ``patch_embed.backbone``, under their names
            within it.
        drop: modules of the source to leave out on purpose, e.g. ``("fc",)``.
        fresh: modules of the model to leave as they are initialised, besides those the layout leaves.

    Returns:
        What was loaded, left out and left as it was.

    Raises:
        DataError: the file is missing or broken, or tensors are missing, left over or of the wrong shape (all of them
            in one message).
        ParameterError: the layout is unknown, or `subtree`, `drop` or `fresh` names something that does not exist.
    """
    convert = LAYOUTS.find(layout)
    label = str(source) if isinstance(source, str | Path) else "the tensors given"
    given = read_weights(source) if isinstance(source, str | Path) else dict(source)
    tensors, dropped = _select(given, subtree, drop, label)
    converted = convert(tensors, model)
    state = model.state_dict()
    left = _names_below(state, fresh, f"{type(model).__name__}")
    left |= {name for name in state if any(_below(name, layer) for layer in converted.fresh)}
    _require_fit(converted.tensors, {n: t for n, t in state.items() if n not in left}, label, type(model).__name__)
    with torch.no_grad():
        for name, tensor in converted.tensors.items():
            state[name].copy_(tensor)
    return LoadedWeights(sorted(converted.tensors), sorted({*dropped, *converted.dropped}), sorted(left))


def _select(
    tensors: Mapping[str, Tensor], subtree: str, drop: Sequence[str], label: str
) -> tuple[dict[str, Tensor], set[str]]:
    left_out = _names_below(tensors, drop, label)
    if subtree:
        left_out |= set(tensors) - _names_below(tensors, (subtree,), label)
    prefix = f"{subtree}." if subtree else ""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n not in left_out}, left_out


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
