"""Local crops for ToCo's contrast of class tokens: small squares around places that are not certainly object."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.train.toco_labels import UNCERTAIN

NEGATIVE = 0.2
"""Mean region (0 background, 1 uncertain, 2 object) of a crop, up to which it shows background."""


def crop_candidates(regions: Tensor, side: int, count: int) -> Tensor:
    """Places that a crop may be centred on: not object, and half a crop away from every border.

    An image with fewer than ``count`` of them takes all places of that margin.

    Args:
        regions: [B, H, W] int64, see `seedbed.train.toco_labels.regions`.
        side: of a crop.
        count: of crops.

    Returns:
        bool [B, H - side, W - side]; place (y, x) has the crop's upper left corner at (y, x).
    """
    margin = side // 2
    height, width = regions.shape[-2:]
    centres = regions[:, margin : height - side + margin, margin : width - side + margin] <= UNCERTAIN
    few = centres.flatten(1).sum(1) < count
    return centres | few[:, None, None]


def chosen_places(candidates: Tensor, order: Tensor, count: int) -> Tensor:
    """The ``count`` candidates [B, h, w] that come first in ``order`` [B, h * w], ascending: int64 [B, count, 2]."""
    outside = order.new_full((), float("inf"))
    first = torch.where(candidates.flatten(1), order, outside).sort(dim=1, stable=True).indices[:, :count]
    width = candidates.shape[-1]
    return torch.stack([first.div(width, rounding_mode="floor"), first % width], dim=2)


def cut(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """Squares [count, B, K, side, side] of images [B, K, H, W] with their upper left ``corners`` [B, count, 2]."""
    along = torch.arange(side, device=images.device)
    rows, columns = (corners[:, :, axis, None] + along for axis in (0, 1))  # [B, count, side]
    which = torch.arange(len(images), device=images.device)[:, None, None, None]
    found = images.permute(0, 2, 3, 1)[which, rows[..., :, None], columns[..., None, :]]  # [B, count, side, side, K]
    return found.permute(1, 0, 4, 2, 3)


def local_crops(
    source: Tensor, regions: Tensor, candidates: Tensor, order: Tensor, *, side: int, count: int
) -> tuple[Tensor, Tensor]:
    """Crops of ``source``, and which of them show more than background.

    Args:
        source: [B, 3, H, W], what crops are cut from.
        regions: [B, H, W] int64, which judges them.
        candidates: [B, H - side, W - side] bool, see `crop_candidates`.
        order: [B, (H - side) * (W - side)] float, in which candidates are taken, drawn at random.
        side: of a crop.
        count: of crops.

    Returns:
        Crops [count, B, 3, side, side], and float32 [B, count], 0 where a crop shows background, else 1.
    """
    corners = chosen_places(candidates, order, count)
    judged = cut(regions[:, None].float(), corners, side).mean((2, 3, 4)).transpose(0, 1)
    return cut(source, corners, side), (judged > NEGATIVE).float()


def with_global_views(local: Tensor) -> Tensor:
    """Flags of all views [B, 2 + count]: the two global views always show the object."""
    return F.pad(local, (2, 0), value=1.0)
