"""What ToCo reads out of its own class activation maps: labels of pixels and of tokens, and regions for crops.

ToCo (Ru et al., CVPR 2023). Masks ``inside`` say where an image shows its picture and not padding.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.data.grey_levels import whole_grey_levels
from seedbed.errors import DataError
from seedbed.explain.map_fusion import fuse_maps
from seedbed.models.bilinear import bilinear, scaled
from seedbed.models.toco import ToCo
from seedbed.refine.par import pixel_adaptive_refinement
from seedbed.refine.reliable import IGNORE, cam_to_label, refine_cams_with_background

SCALES = (1.0, 0.5, 1.5)
BACKGROUND, UNCERTAIN, OBJECT = 0, 1, 2
"""Regions of an image, as `regions` numbers them."""

Thresholds = tuple[float, float]


@torch.no_grad()
def multi_scale_maps(model: ToCo, images: Tensor, scales: tuple[float, ...] = SCALES) -> tuple[Tensor, Tensor]:
    """Class activation maps of scaled and mirrored views, fused as AFA does, and the auxiliary ones.

    Args:
        model: run as it is, in training too.
        images: [B, 3, H, W], normalised.
        scales: factors on the sides, which are rounded down.

    Returns:
        Two tensors [B, C, H, W] float32 in 0..1, for all classes, present or not.
    """
    size = (images.shape[-2], images.shape[-1])
    last, auxiliary = [], []
    for scale in scales:
        shown = scaled(images, scale)
        maps, early = model(torch.cat([shown, shown.flip(-1)]), part="maps")
        last.append(maps.chunk(2))
        auxiliary.append(early.chunk(2))
    return fuse_maps(last, size, "afa"), fuse_maps(auxiliary, size, "afa")


def present_maps(maps: Tensor, labels: Tensor) -> Tensor:
    """Maps [B, C, H, W] of the classes that ``labels`` [B, C] say are present, 0 elsewhere."""
    return maps * (labels != 0)[:, :, None, None]


def refined_labels(
    images: Tensor, maps: Tensor, labels: Tensor, inside: Tensor, thresholds: Thresholds, **refinement: Any
) -> Tensor:
    """Labels that teach the decoder: AFA's rule with two backgrounds, refined along the image.

    Args:
        images: [B, 3, H, W], normalised.
        maps: [B, C, H, W] in 0..1.
        labels: [B, C], non-zero where a class is present.
        inside: [B, H, W] bool.
        thresholds: (low, high) background scores.
        **refinement: options of `pixel_adaptive_refinement`; as published its defaults.

    Returns:
        int64 [B, H, W]: 0 background, ``c + 1`` for class ``c``, 255 where it does not count.
    """
    refine = partial(pixel_adaptive_refinement, **refinement)
    found = refine_cams_with_background(
        whole_grey_levels(images) / 255, present_maps(maps, labels), labels, thresholds=thresholds, refine=refine
    )
    return found.masked_fill(~inside, IGNORE)


def token_labels(
    maps: Tensor, labels: Tensor, inside: Tensor, grid: tuple[int, int], thresholds: Thresholds, as_published: bool
) -> Tensor:
    """Labels of patches, with an ignored middle, from maps brought to the patches' grid.

    Args:
        maps: [B, C, H, W] in 0..1.
        labels: [B, C], non-zero where a class is present.
        inside: [B, H, W] bool.
        grid: (h, w) of the patches.
        thresholds: (low, high).
        as_published: lay the box, which is in pixels, over the patches: what is padded above or on the left takes as
            many rows or columns of *patches* away, and padding below or on the right hardly any. Otherwise patches
            that lie in the padding for the most part do not count.

    Returns:
        int64 [B, h, w]: 0 background, ``c + 1`` for class ``c``, 255 where it does not count.
    """
    small = bilinear(maps.float(), grid)
    found = cam_to_label(small, labels, background=None, thresholds=thresholds)
    if as_published:
        counted = inside[:, : grid[0], : grid[1]]
    else:
        counted = F.adaptive_avg_pool2d(inside[:, None].float(), grid)[:, 0] >= 0.5
    return found.masked_fill(~counted, IGNORE)


def same_label(tokens: Tensor) -> Tensor:
    """Pairs of tokens: [B, h, w] labels to uint8 [B, N, N], 1 equal, 0 not, 255 where a token does not count or meets
    itself.
    """
    flat = tokens.flatten(1)
    one, other = flat[:, :, None], flat[:, None, :]
    itself = torch.eye(flat.shape[1], dtype=torch.bool, device=tokens.device)
    ignored = (one == IGNORE) | (other == IGNORE) | itself
    return (one == other).to(torch.uint8).masked_fill(ignored, IGNORE)


def regions(maps: Tensor, labels: Tensor, thresholds: Thresholds) -> Tensor:
    """Regions [B, H, W] int64 of maps [B, C, H, W]: 0 background, 1 uncertain, 2 object.

    By the largest value over the present classes: at or below the low threshold, at or above the high one.
    """
    low, high = thresholds
    if not low <= high:
        raise DataError(f"thresholds are (low, high) with low <= high, got {thresholds}.")
    peak = present_maps(maps, labels).amax(1)
    return torch.where(peak <= low, BACKGROUND, torch.where(peak >= high, OBJECT, UNCERTAIN))
