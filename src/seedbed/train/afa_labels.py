"""What AFA reads out of its own class activation maps, and how its affinities spread them (Ru et al., CVPR 2022).

Masks ``inside`` say where an image shows its picture and not padding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.data.grey_levels import whole_grey_levels
from seedbed.explain.map_fusion import fuse_maps
from seedbed.models.afa import AFA
from seedbed.models.bilinear import bilinear, scaled
from seedbed.refine.par import pixel_adaptive_refinement
from seedbed.refine.propagation import propagate_with_background
from seedbed.refine.reliable import IGNORE, agreed_labels, chebyshev_window

DOWNSCALE = 2
"""Labels are refined at half of the image's resolution."""


@torch.no_grad()
def multi_scale_maps(model: AFA, images: Tensor, scales: Sequence[float]) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Class activation maps of scaled and mirrored views, fused as published, and the affinities of the largest scale.

    Args:
        model: run as it is, in training too.
        images: [B, 3, H, W], normalised.
        scales: factors on the sides, which are rounded down.

    Returns:
        Maps [B, C, H, W] float32 in 0..1, for all classes, present or not; affinities [B, N, N] float32 of the views
        that are not mirrored; and their grid (h, w), of N = h w places.
    """
    size = (images.shape[-2], images.shape[-1])
    found: list[tuple[Tensor, Tensor]] = []
    affinity, grid = images, size
    for scale in scales:
        shown = scaled(images, scale)
        if scale == max(scales):
            plain, affinity = model(shown, part="affinity")
            mirrored, grid = model(shown.flip(-1), part="maps"), (plain.shape[-2], plain.shape[-1])
        else:
            plain, mirrored = model(torch.cat([shown, shown.flip(-1)]), part="maps").chunk(2)
        found.append((plain, mirrored))
    return fuse_maps(found, size, "afa"), affinity.float(), grid


@torch.no_grad()
def propagated_labels(
    images: Tensor,
    maps: Tensor,
    affinity: Tensor,
    grid: tuple[int, int],
    labels: Tensor,
    inside: Tensor,
    thresholds: tuple[float, float],
    *,
    radius: int,
    **refinement: Any,
) -> Tensor:
    """Labels that teach the decoder: maps and background walk a step along the affinities, and are refined.

    For each of two background scores, background and present classes walk together; the two results are joined as in
    `seedbed.refine.reliable.refine_cams_with_background`.

    Args:
        images: [B, 3, H, W], normalised.
        maps: [B, C, H, W] in 0..1.
        affinity: [B, N, N] in 0..1.
        grid: (h, w) of its places.
        labels: [B, C], non-zero where a class is present.
        inside: [B, H, W] bool.
        thresholds: (low, high) background scores.
        radius: largest distance of places in rows and columns over which maps walk.
        **refinement: options of `pixel_adaptive_refinement`; as published its defaults.

    Returns:
        int64 [B, H, W]: 0 background, ``c + 1`` for class ``c``, 255 where it does not count.
    """
    size = (images.shape[-2], images.shape[-1])
    pixels, small = whole_grey_levels(images) / 255, bilinear(maps, grid)
    window = chebyshev_window(*grid, radius, device=images.device)

    def winners(background: float) -> Tensor:
        walked = propagate_with_background(small, affinity, labels, background=background, window=window)
        return refined_scores(pixels, bilinear(walked, size), labels, inside, **refinement).argmax(1)

    low, high = thresholds
    return agreed_labels(winners(high), winners(low)).masked_fill(~inside, IGNORE)


@torch.no_grad()
def refined_scores(pixels: Tensor, scores: Tensor, labels: Tensor, inside: Tensor, **refinement: Any) -> Tensor:
    """Refine the scores of background and present classes along each picture without its padding, at half resolution.

    Args:
        pixels: [B, 3, H, W] in 0..1.
        scores: [B, C + 1, H, W], background first.
        labels: [B, C], non-zero where a class is present.
        inside: [B, H, W] bool, a rectangle.
        **refinement: options of `pixel_adaptive_refinement`.

    Returns:
        [B, C + 1, H, W], 0 in the padding and of absent classes.
    """
    found = torch.zeros_like(scores)
    for image, picture in enumerate(inside):
        rows, columns = (_extent(picture.any(axis)) for axis in (1, 0))
        present = torch.cat([labels.new_zeros(1, dtype=torch.long), 1 + labels[image].nonzero()[:, 0]])
        size = (rows.stop - rows.start, columns.stop - columns.start)
        shown = pixels[image : image + 1, :, rows, columns]
        reduced = bilinear(shown, (max(1, size[0] // DOWNSCALE), max(1, size[1] // DOWNSCALE)))
        refined = pixel_adaptive_refinement(reduced, scores[image, present, rows, columns][None], **refinement)
        found[image, present, rows, columns] = bilinear(refined, size)[0]
    return found


def _extent(inside: Tensor) -> slice:
    """From the first to the last True of a row."""
    places = inside.nonzero()[:, 0]
    return slice(int(places[0]), int(places[-1]) + 1)
