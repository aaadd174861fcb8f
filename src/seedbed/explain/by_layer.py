"""Class maps layer by layer from one forward pass: what each layer refines (AReAM), or the last K fused (eX-ViT)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.explain.attention_cams import refined_by_layer, unrefined
from seedbed.explain.exvit import fused_layer_maps, no_guided_maps, no_plain_head


class ByLayer(NamedTuple):
    """Raw maps of several layers.

    Attributes:
        layers: [B, L, K, h, w].
        beside: maps [B, K, h, w] to compare with: ``cam``, what every layer refines, and ``all_layers``, refined by all
            together; empty where layers are fused one more at a time.
    """

    layers: Tensor
    beside: dict[str, Tensor]


@torch.no_grad()
def maps_by_layer(model: nn.Module, images: Tensor, targets: Tensor, method: str, **options: object) -> ByLayer:
    """Explain images layer by layer.

    Args:
        model: what the method needs.
        images: float [B, 3, H, W].
        targets: int64 [B, K], -1 = absent.
        method: ``mct_refined`` or ``transcam`` (entry l: refined by layer l alone), ``attribute_guided_map`` or an
            eX-ViT's ``cam`` (entry k - 1: the last k layers fused).
        options: the method's; the one that chooses layers is ignored.

    Raises:
        ParameterError: the method has no such form.
        UserError: the method cannot explain this network.
    """
    if method not in _METHODS:
        raise ParameterError(unknown_name("method by layer", method, _METHODS))
    kept = {name: value for name, value in options.items() if name not in ("layers", "fused_layers")}
    with torch.autocast(images.device.type, enabled=False):
        return _METHODS[method](model, images, targets, method, kept)


def _refined(model: nn.Module, images: Tensor, targets: Tensor, method: str, options: dict) -> ByLayer:
    start = unrefined(model, images, targets, method, **options)
    layers = refined_by_layer(start)
    return ByLayer(layers, {"cam": start.maps, "all_layers": layers.sum(dim=1)})


def _fused(model: nn.Module, images: Tensor, targets: Tensor, method: str, options: dict) -> ByLayer:
    objection = {"attribute_guided_map": no_guided_maps, "cam": no_plain_head}[method](model)
    if objection is not None:
        raise UserError(f"'{method}' by layer cannot explain this {type(model).__name__}: {objection}.")
    for name in options:
        if name != "relu":
            raise ParameterError(unknown_name(f"option of '{method}' by layer", name, ("relu",)))
    return ByLayer(fused_layer_maps(model, images, targets, **options), {})


_METHODS: dict[str, Callable[..., ByLayer]] = {
    "mct_refined": _refined,
    "transcam": _refined,
    "attribute_guided_map": _fused,
    "cam": _fused,
}
