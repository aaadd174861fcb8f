"""Published weights of ToCo."""

import torch
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.models.toco import ToCo
from seedbed.models.weights.conversion import Converted, layout

UNUSED = ("encoder.head.weight", "encoder.head.bias")
LENGTHS = ("proj_head.last_layer.weight_g", "proj_head_t.last_layer.weight_g")


@layout("toco")
def toco(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """A published checkpoint of ToCo, whole. ImageNet's head, which it carries along unused, is left out, and so are
    the lengths of the projection heads' rows, which are 1 and never trained.

    Args:
        tensors, model: as any layout.

    Raises:
        ParameterError: the model is no ToCo.
        DataError: a row has another length, or the tensors lack one of those that are left out.
    """
    if not isinstance(model, ToCo):
        raise ParameterError(f"Layout 'toco' fills a ToCo, not a {type(model).__name__}.")
    if missing := [name for name in (*UNUSED, *LENGTHS) if name not in tensors]:
        raise DataError(f"These are not the weights of a published ToCo: they lack {', '.join(missing)}.")
    for name in LENGTHS:
        if not torch.equal(tensors[name], torch.ones_like(tensors[name])):
            raise DataError(f"{name}: the rows of a published projection head have length 1, these have not.")
    dropped = [*UNUSED, *LENGTHS]
    return Converted({name: tensor for name, tensor in tensors.items() if name not in dropped}, dropped)
