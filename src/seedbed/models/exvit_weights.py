"""Published weights that eX-ViT starts from."""

from typing import Any

from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.exvit import ExViT
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.plain_deit import require_plain_deit, resize_positions


@layout("exvit_deit")
def exvit_deit(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """DeiT (timm's names) as the encoder of eX-ViT: class token, its position and the head are left out, and the last
    norm if the model has none; positions of the patches are copied, or resized bicubically to another grid. E-MHA's
    b, the attributes and the head start afresh.

    Raises:
        ParameterError: the model is no eX-ViT.
        DataError: the tensors are not a plain, square, single-token ViT's.
    """
    if not isinstance(model, ExViT):
        raise ParameterError(f"Layout 'exvit_deit' fills an ExViT, not a {type(model).__name__}.")
    require_plain_deit(tensors)
    unused = ("cls_token", "head.") if model.norm is not None else ("cls_token", "head.", "norm.")
    converted = {name: tensor for name, tensor in tensors.items() if not name.startswith(unused)}
    converted["pos_embed"] = resize_positions(tensors["pos_embed"][:, 1:], model.side)
    alignments = tuple(name for name in model.state_dict() if name.endswith(".alignment"))
    return Converted(converted, [n for n in tensors if n.startswith(unused)], ("attributes", "head", *alignments))


@layout("exvit_deit_scaled")
def exvit_deit_scaled(tensors: dict[str, Tensor], model: nn.Module) -> Converted:
    """`exvit_deit` with each attention's output weights divided by √N, N the patches of the model's training image.

    A softmax's row sums to 1, the squares of an E-MHA row do: its entries are about √N times as large, and so is what
    DeiT's later layers would get to see.

    Raises:
        ParameterError: as `exvit_deit`, or the model has softmax attention.
        DataError: as `exvit_deit`.
    """
    converted = exvit_deit(tensors, model)
    side: Any = model.side
    if not any(name.endswith(".alignment") for name in converted.fresh):
        raise ParameterError("Layout 'exvit_deit_scaled' is for E-MHA; softmax attention takes 'exvit_deit'.")
    for name, tensor in converted.tensors.items():
        if name.endswith(".attn.proj.weight"):
            converted.tensors[name] = tensor / side
    return converted
