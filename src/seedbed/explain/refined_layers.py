"""Class maps that each layer's attention refines by itself (AReAM, figures 2 and 10)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from seedbed.explain.attention_cams import refined_by_layer, unrefined
from seedbed.explain.by_layer import ByLayer, by_layer


def _refined(model: nn.Module, images: Tensor, targets: Tensor, method: str, options: Mapping[str, Any]) -> ByLayer:
    start = unrefined(model, images, targets, method, **options)
    layers = refined_by_layer(start)
    return ByLayer(layers, {"cam": start.maps, "all_layers": layers.sum(dim=1)})


by_layer("mct_refined")(_refined)
by_layer("transcam")(_refined)
