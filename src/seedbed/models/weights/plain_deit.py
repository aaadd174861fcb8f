"""DeiT's tensors under timm's names, as networks with other tokens take them over."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from seedbed.errors import DataError
from seedbed.models.transformer import resample_positions
from seedbed.models.weights.positions import grid_of

DISTILLATION = ("dist_token", "head_dist.")


class PlainDeit(NamedTuple):
    """Tensors of a Vision Transformer with one class token.

    Attributes:
        tensors: all but those of the positions and of the heads.
        class_position: [1, 1, D].
        patch_positions: [1, N, D].
        left_out: the source's names that are not in ``tensors``: heads, and what serves distillation.
    """

    tensors: dict[str, Tensor]
    class_position: Tensor
    patch_positions: Tensor
    left_out: list[str]


def plain_deit(tensors: Mapping[str, Tensor]) -> PlainDeit:
    """Take a DeiT apart; a distilled one loses its distillation token, its position and its head.

    Raises:
        DataError: these are not the weights of a DeiT.
    """
    missing = [name for name in ("cls_token", "pos_embed") if name not in tensors]
    if missing:
        raise DataError(f"These are not the weights of a DeiT: they lack {', '.join(missing)}.")
    unused = [name for name in tensors if name.startswith(("head.", *DISTILLATION))]
    kept = {name: tensor for name, tensor in tensors.items() if name not in (*unused, "pos_embed")}
    prefix = 2 if "dist_token" in tensors else 1
    return PlainDeit(kept, tensors["pos_embed"][:, :1], tensors["pos_embed"][:, prefix:], unused)


def resize_positions(positions: Tensor, side: int, grid: Sequence[int] | None = None) -> Tensor:
    """Positions [1, N, D] of a grid for one of ``side`` x ``side`` patches, bicubically.

    Raises:
        DataError, ParameterError: as `grid_of`.
    """
    source = grid_of(positions, (side, side), grid)
    if source == (side, side):
        return positions
    return resample_positions(positions.float(), source, size=(side, side))
