"""Layouts that fill any network."""

from typing import Any

from timm.layers import resample_abs_pos_embed
from torch import Tensor

from seedbed.models.weights.conversion import Converted, in_layers, layout, new_layers


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
def pretrained_classifier(tensors: dict[str, Tensor], model: Any) -> Converted:
    """A classifier of the same network, pretrained on other classes or at another size: a head of other classes starts
    afresh, and a timm Vision Transformer's positions are resampled to the model's grid."""
    own = model.state_dict()
    converted, heads = dict(tensors), _classifier_layers(model)
    if "pos_embed" in own and "pos_embed" in tensors and own["pos_embed"].shape != tensors["pos_embed"].shape:
        prefix = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
        converted["pos_embed"] = resample_abs_pos_embed(
            tensors["pos_embed"], list(model.patch_embed.grid_size), num_prefix_tokens=prefix
        )
    misfits = {n for n in tensors if in_layers(n, heads) and n in own and own[n].shape != tensors[n].shape}
    if not misfits:
        return Converted(converted)
    dropped = [name for name in tensors if in_layers(name, heads)]
    return Converted({n: t for n, t in converted.items() if n not in dropped}, dropped, heads)


def _classifier_layers(model: Any) -> tuple[str, ...]:
    """Names of the modules that hold the class scores."""
    if hasattr(model, "new_layers"):
        return new_layers(model)
    classifier = model.get_classifier() if hasattr(model, "get_classifier") else None
    return tuple(name for name, module in model.named_modules() if module is classifier)
