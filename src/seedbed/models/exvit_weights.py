"""Published weights that eX-ViT starts from."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.exvit import ExViT
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.plain_deit import plain_deit, resize_positions


@layout("exvit_deit")
def exvit_deit(tensors: dict[str, Tensor], model: nn.Module, *, grid: Sequence[int] | None = None) -> Converted:
    """DeiT (timm's names), distilled or not, as the encoder of eX-ViT: class token, its position and the head are left
    out, and the last norm if the model has none; positions of the patches are copied, or resized bicubically to
    another grid. E-MHA's b, the attributes and the head start afresh.

    Args:
        tensors, model: as any layout.
        grid: rows and columns of the source's patches, if they form no square.

    Raises:
        ParameterError: the model is no eX-ViT.
        DataError: the tensors are not a DeiT's, or it is not known how its patches lie.
    """
    if not isinstance(model, ExViT):
        raise ParameterError(f"Layout 'exvit_deit' fills an ExViT, not a {type(model).__name__}.")
    deit = plain_deit(tensors)
    unused = ("cls_token",) if model.norm is not None else ("cls_token", "norm.")
    converted = {name: tensor for name, tensor in deit.tensors.items() if not name.startswith(unused)}
    converted["pos_embed"] = resize_positions(deit.patch_positions, model.side, grid)
    alignments = tuple(name for name in model.state_dict() if name.endswith(".alignment"))
    dropped = [name for name in deit.tensors if name.startswith(unused)]
    return Converted(converted, [*dropped, *deit.left_out], ("attributes", "head", *alignments))


@layout("exvit_deit_scaled")
def exvit_deit_scaled(tensors: dict[str, Tensor], model: nn.Module, *, grid: Sequence[int] | None = None) -> Converted:
    """`exvit_deit` with each attention's output weights divided by √N, N the patches of the model's training image.

    A softmax's row sums to 1, the squares of an E-MHA row do: its entries are about √N times as large, and so is what
    DeiT's later layers would get to see.

    Raises:
        ParameterError: as `exvit_deit`, or the model has softmax attention.
        DataError: as `exvit_deit`.
    """
    converted = exvit_deit(tensors, model, grid=grid)
    side: Any = model.side
    if not any(name.endswith(".alignment") for name in converted.fresh):
        raise ParameterError("Layout 'exvit_deit_scaled' is for E-MHA; softmax attention takes 'exvit_deit'.")
    for name, tensor in converted.tensors.items():
        if name.endswith(".attn.proj.weight"):
            converted.tensors[name] = tensor / side
    return converted
