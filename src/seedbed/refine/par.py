"""Pixel-adaptive refinement (PAR): maps smoothed along image content by a fixed, image-dependent kernel.

AFA (Ru et al., CVPR 2022); AReAM, equations 10 to 12. The 48 neighbours are never stacked for the maps: each iteration
adds up 48 shifted views of the whole batch, weighted by the kernels. Channels that are zero everywhere stay so and are
left out. An image's result does not depend on its batch, beyond rounding.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.settings.checked import checked

DILATIONS = (1, 2, 4, 8, 12, 24)

PIXELS_AT_ONCE = {"cpu": 1 << 15, "gpu": 1 << 22}
"""Pixels whose kernel (48 floats each) is held at a time: on a CPU what its cache holds, on a GPU 0.8 GB."""

Offset = tuple[int, int]


@torch.no_grad()
@checked
def pixel_adaptive_refinement(
    images: Tensor,
    maps: Tensor,
    *,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
    position_weight: float = 0.01,
    sigma: float = 0.3,
    remove_gain: bool = False,
) -> Tensor:
    """Refine maps by repeated averaging over pixels that look alike and lie near.

    For the 8 neighbours ``n`` of a pixel at each dilation (replicate padding), with standard deviations over all
    neighbours (unbiased, the pixel itself left out):

        colour      k_n = - mean_channels (|I_n - I| / (std_n(I_n) + 1e-8) / sigma)^2
        position    p_n = - (d_n / (std_n(d_n) + 1e-8) / sigma)^2
        kernel          = softmax_n(k) + position_weight * softmax_n(p)

    In AReAM's symbols ``w_I = 1``, ``w_L = position_weight``, ``c_I = c_L = sigma^2``. The kernel sums to
    ``1 + position_weight``, so every iteration scales the maps by that gain (1.105 after 10 iterations): the argmax
    does not care, an absolute threshold does.

    Args:
        images: ``[B, 3, H, W]`` or ``[3, H, W]``; the scale (0..1 or 0..255) does not matter.
        maps: ``[B, C, h, w]`` or ``[C, h, w]`` float; resized to ``H x W`` first (bilinear, align_corners=True).
        dilations: neighbour distances in pixels.
        iterations: number of passes; 0 only resizes. AFA: 10, on COCO 15.
        position_weight: weight of the position term.
        sigma: width of both terms, in standard deviations.
        remove_gain: divide the kernel by ``1 + position_weight``, so that constant maps stay what they are.

    Returns:
        ``[B, C, H, W]`` or ``[C, H, W]``, float32 (float64 if ``maps`` are). No gradient flows through.

    Raises:
        DataError: the shapes do not fit each other, or a value is not finite.
        ParameterError: no dilation, or one below 1; a negative number of iterations; sigma not above 0.
    """
    _check(images, maps, dilations, iterations)
    if not sigma > 0:
        raise ParameterError(f"sigma must be above 0, got {sigma}.")
    if not (images.isfinite().all() & maps.isfinite().all()):  # asked once: a GPU is waited for
        raise DataError("Images or maps hold NaN or infinity, which refinement would spread: set them to 0 first.")
    if maps.ndim == 3:
        options: dict[str, Any] = {"position_weight": position_weight, "sigma": sigma, "remove_gain": remove_gain}
        single = pixel_adaptive_refinement(
            images[None], maps[None], dilations=dilations, iterations=iterations, **options
        )
        return single[0]
    dtype = torch.float64 if maps.dtype == torch.float64 else torch.float32
    size = images.shape[-2:]
    refined = F.interpolate(maps.to(dtype), size=size, mode="bilinear", align_corners=True)
    if iterations == 0:
        return refined
    offsets = _neighbour_offsets(dilations)
    images = images.to(dtype)
    at_once = max(1, PIXELS_AT_ONCE["cpu" if images.device.type == "cpu" else "gpu"] // (size[0] * size[1]))
    order, slots = _alive_first(refined)
    for part in (slice(first, first + at_once) for first in range(0, len(images) if slots else 0, at_once)):
        kernel = _kernel(images[part], offsets, position_weight, sigma)
        if remove_gain:
            kernel /= 1 + position_weight
        channels = _picked(refined[part], order[part, :slots])
        channels = _iterate(channels, kernel, offsets, iterations)
        empty = (0, 0, 0, 0, 0, refined.shape[1] - slots)
        refined[part] = _picked(F.pad(channels, empty), order[part].argsort(dim=1))
    return refined


def _alive_first(maps: Tensor) -> tuple[Tensor, int]:
    """Return each image's channels ``[B, C]``, those that hold anything first, and the most that an image has."""
    alive = maps.flatten(2).any(dim=2)
    most = int(alive.sum(dim=1).max()) if alive.numel() else 0
    return (~alive).int().sort(dim=1, stable=True).indices, most


def _picked(maps: Tensor, channels: Tensor) -> Tensor:
    """Pick ``channels`` ``[B, K]`` of maps ``[B, C, H, W]``, image by image."""
    return maps.gather(1, channels[:, :, None, None].expand(-1, -1, *maps.shape[-2:]))


def _iterate(maps: Tensor, kernel: Tensor, offsets: list[Offset], iterations: int) -> Tensor:
    """Apply the kernel ``[B, n, 1, H, W]`` to the maps ``[B, C, H, W]`` again and again."""
    weights = kernel.unbind(dim=1)
    for _ in range(iterations):
        views = list(_shifted_views(maps, offsets))
        total = torch.zeros_like(maps)
        # Eight neighbours at a time: short partial sums halve the float32 rounding error of one long one.
        for first in range(0, len(views), 8):
            ring = torch.zeros_like(maps)
            for view, weight in zip(views[first : first + 8], weights[first : first + 8], strict=True):
                ring.addcmul_(view, weight)
            total += ring
        maps = total
    return maps


def _kernel(images: Tensor, offsets: list[Offset], position_weight: float, sigma: float) -> Tensor:
    """Return the kernels ``[B, n, 1, H, W]`` of images; a pixel's weights sum to ``1 + position_weight``."""
    deviation = _neighbour_deviation(images, offsets) + 1e-8
    colour = images.new_empty(len(images), len(offsets), 1, *images.shape[-2:])
    for row, view in zip(colour.unbind(dim=1), _shifted_views(images, offsets), strict=True):
        torch.mean(((view - images) / deviation / sigma).square_(), dim=1, keepdim=True, out=row)
    distance = torch.tensor(offsets, dtype=images.dtype).norm(dim=1)
    position = -((distance / (distance.std() + 1e-8) / sigma) ** 2)
    weight = position_weight * position.softmax(dim=0)
    return colour.neg_().softmax(dim=1).add_(weight.to(images, non_blocking=True)[:, None, None, None])


def _neighbour_deviation(images: Tensor, offsets: list[Offset]) -> Tensor:
    """Return each pixel's standard deviation over its neighbours, unbiased, ``[B, 3, H, W]``, summed in float64."""
    exact = images.double()
    mean = torch.zeros_like(exact)
    for view in _shifted_views(exact, offsets):
        mean += view
    mean /= len(offsets)
    variance = torch.zeros_like(exact)
    for view in _shifted_views(exact, offsets):
        variance += (view - mean).square_()
    return (variance / (len(offsets) - 1)).sqrt().to(images)


def _shifted_views(maps: Tensor, offsets: list[Offset]) -> Iterator[Tensor]:
    """Yield, for each offset, the maps ``[B, C, H, W]`` moved by it, edges replicated; views of one padded copy."""
    h, w = maps.shape[-2:]
    margin = max(max(abs(dy), abs(dx)) for dy, dx in offsets)
    padded = F.pad(maps, (margin,) * 4, mode="replicate")
    for dy, dx in offsets:
        yield padded[..., margin + dy : margin + dy + h, margin + dx : margin + dx + w]


def _neighbour_offsets(dilations: Sequence[int]) -> list[Offset]:
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    return [(dy * d, dx * d) for d in dilations for dy, dx in around]


def _check(images: Tensor, maps: Tensor, dilations: Sequence[int], iterations: int) -> None:
    if images.ndim != maps.ndim or images.ndim not in (3, 4) or images.shape[-3] != 3:
        raise DataError(
            f"Need images [B, 3, H, W] and maps [B, C, h, w], or both without B; got {tuple(images.shape)} and "
            f"{tuple(maps.shape)}."
        )
    if 0 in (*images.shape[-2:], *maps.shape[-2:]) or maps.is_complex():
        raise DataError(f"Need pixels, got images {tuple(images.shape)} and maps {tuple(maps.shape)} of {maps.dtype}.")
    if images.ndim == 4 and len(images) != len(maps):
        raise DataError(f"Got {len(images)} images and maps for {len(maps)}.")
    if not dilations or min(dilations) < 1:
        raise ParameterError(f"dilations must be whole numbers from 1 up, got {tuple(dilations)}.")
    if iterations < 0:
        raise ParameterError(f"iterations must be 0 or more, got {iterations}.")
