"""Class maps layer by layer from one forward pass: what each layer refines (AReAM), or the last K fused (eX-ViT)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seedbed.io.catalogue import Catalogue


class ByLayer(NamedTuple):
    """Raw maps of several layers.

    Attributes:
        layers: [B, L, K, h, w].
        beside: maps [B, K, h, w] to compare with: ``cam``, what every layer refines, and ``all_layers``, refined by all
            together; empty where layers are fused one more at a time.
    """

    layers: Tensor
    beside: dict[str, Tensor]


LayerMethod = Callable[[nn.Module, Tensor, Tensor, str, Mapping[str, Any]], ByLayer]
"""From a model, images, targets, the method's name and options to its maps by layer."""
METHODS: Catalogue[LayerMethod] = Catalogue("method by layer", "seedbed.explain", "by_layer")


def by_layer(name: str) -> Callable[[LayerMethod], LayerMethod]:
    """Register a function as how the method of that name explains layer by layer."""
    return METHODS.entering(name)


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
    explained = METHODS.find(method)
    kept = {name: value for name, value in options.items() if name not in ("layers", "fused_layers")}
    with torch.autocast(images.device.type, enabled=False):
        return explained(model, images, targets, method, kept)
