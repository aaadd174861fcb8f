"""eX-ViT's maps of its last K layers, for every K (figure 8)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from seedbed.errors import ParameterError, UserError, unknown_name
from seedbed.explain.by_layer import ByLayer, by_layer
from seedbed.explain.exvit_maps import fused_layer_maps, no_guided_maps, no_plain_head


def _fused(model: nn.Module, images: Tensor, targets: Tensor, method: str, options: Mapping[str, Any]) -> ByLayer:
    objection = {"attribute_guided_map": no_guided_maps, "cam": no_plain_head}[method](model)
    if objection is not None:
        raise UserError(f"'{method}' by layer cannot explain this {type(model).__name__}: {objection}.")
    for name in options:
        if name != "relu":
            raise ParameterError(unknown_name(f"option of '{method}' by layer", name, ("relu",)))
    return ByLayer(fused_layer_maps(model, images, targets, **options), {})


by_layer("attribute_guided_map")(_fused)
by_layer("cam")(_fused)
