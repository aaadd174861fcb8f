"""Layouts that fill any network."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from seedbed.errors import DataError
from seedbed.models.weights.conversion import Converted, in_layers, layout, new_layers
from seedbed.models.weights.positions import TOKENS, moved_table, position_tables

log = logging.getLogger(__name__)
_OF_DISTILLATION = ("dist_token", "head_dist")


@layout("checkpoint")
def checkpoint(tensors: dict[str, Tensor], model: Any) -> Converted:
    """A published checkpoint of the same network, whole. One that was published with a background output in front,
    which enters neither its loss nor its maps (``background_in_front``: TransCAM's Conformer), loses it where the model
    has none."""
    if not getattr(model, "background_in_front", False):
        return Converted(tensors)
    heads = {name for name in tensors if in_layers(name, model.new_layers)}
    more = heads and all(len(tensors[name]) == model.num_classes + 1 for name in heads)
    return Converted({name: tensor[1:] if more and name in heads else tensor for name, tensor in tensors.items()})


@layout("pretrained_classifier")
def pretrained_classifier(tensors: dict[str, Tensor], model: Any, *, grid: Sequence[int] | None = None) -> Converted:
    """A classifier of the same network, pretrained on other classes, at another size or by distillation.

    What counts classes starts afresh where the model has others: the head, and class tokens with their positions.
    Positions of the patches are resampled to the model's grid. A distillation token and its head are left out where the
    model has none, and start afresh where the source has none. Other networks of timm's bring what depends on the size
    to the model's as timm does.

    Args:
        tensors, model: as any layout.
        grid: rows and columns of the source's patches, if they form no square.

    Raises:
        DataError: the source's patches form no square, and nobody says what; or timm cannot bring them to the size.
    """
    own, heads, counting = model.state_dict(), _classifier_layers(model), tuple(getattr(model, "class_tokens", ()))
    tables = {table.name: table for table in position_tables(model) if table.name in tensors}
    fresh = [name for name in _OF_DISTILLATION if _has(own, name) and not _has(tensors, name)]
    fresh += [name for name in counting if name in tensors and tensors[name].shape != own[name].shape]
    if any(in_layers(n, heads) and n in own and own[n].shape != t.shape for n, t in tensors.items()):
        fresh += [name for name in heads if name not in fresh]
    gone = [name for name in (*TOKENS, "head_dist") if _has(tensors, name) and not _has(own, name)]
    dropped = [name for name in tensors if _in_any(name, (*fresh, *gone))]
    kept = {name: tensor for name, tensor in tensors.items() if name not in dropped and name not in tables}
    moved = {name: moved_table(table, tensors, own, grid) for name, table in tables.items()}
    sized = kept if tables else _sized_by_timm(kept, model, own)
    return Converted(sized | moved, dropped + [name for name in kept if name not in sized], tuple(fresh))


def _has(names: Any, module: str) -> bool:
    return any(_in_any(name, (module,)) for name in names)


def _in_any(name: str, modules: Sequence[str]) -> bool:
    return name in modules or in_layers(name, tuple(modules))


def _sized_by_timm(tensors: dict[str, Tensor], model: Any, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """What timm makes of tensors for a model of another size, where some do not fit and timm has a way."""
    module = sys.modules[type(model).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None) if module.__name__.startswith("timm.") else None
    misfits = [name for name, tensor in tensors.items() if name in own and own[name].shape != tensor.shape]
    if convert is None or not misfits:
        return tensors
    log.info("timm brings %s to this network's size", ", ".join(misfits))
    try:
        return dict(convert(dict(tensors), model))
    except (RuntimeError, ValueError, KeyError, AttributeError, AssertionError, TypeError, IndexError) as error:
        raise DataError(
            f"{', '.join(misfits[:3])}: cannot be brought to this {type(model).__name__}'s shape ({error})."
        ) from None


def _classifier_layers(model: Any) -> tuple[str, ...]:
    """Names of the modules that hold the class scores."""
    if hasattr(model, "new_layers"):
        return new_layers(model)
    found = model.get_classifier() if hasattr(model, "get_classifier") else None
    classifiers = found if isinstance(found, tuple | list) else (found,)  # a distilled network has two
    return tuple(name for name, module in model.named_modules() if any(module is one for one in classifiers))
