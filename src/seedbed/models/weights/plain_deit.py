"""DeiT's tensors under timm's names, as networks with other tokens take them over."""

from collections.abc import Mapping

from torch import Tensor

from seedbed.errors import DataError
from seedbed.models.transformer import resample_positions


def require_plain_deit(tensors: Mapping[str, Tensor]) -> None:
    """Raise DataError unless these are the tensors of a plain ViT with one class token."""
    missing = [name for name in ("cls_token", "pos_embed") if name not in tensors]
    if missing or "dist_token" in tensors:
        what = f"lack {', '.join(missing)}" if missing else "have a distillation token"
        raise DataError(f"These are not the weights of a plain DeiT: they {what}.")


def resize_positions(positions: Tensor, side: int) -> Tensor:
    """Positions [1, n * n, D] of a square grid for one of ``side`` x ``side`` patches, bicubically.

    Raises:
        DataError: the grid is not square.
    """
    source = round(positions.shape[1] ** 0.5)
    if source**2 != positions.shape[1]:
        raise DataError(f"{positions.shape[1]} patch positions do not form a square grid.")
    if source == side:
        return positions
    return resample_positions(positions.float(), size=(side, side))
