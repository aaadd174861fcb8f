"""Affinities of neighbouring pixels, a_ij = exp(-mean over channels |f_i - f_j|) (Ahn & Kwak 2018, equation 2).

The paper writes an L1 norm; the published code averages over channels, and so do we.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seedbed.errors import ParameterError

RADIUS = 5


@cache
def pair_offsets(radius: int = RADIUS) -> tuple[tuple[int, int], ...]:
    """Offsets (dy, dx) from a pixel to the partners it is paired with, half of the disc: 34 for radius 5.

    First (0, 1 .. radius-1), then row by row dy = 1 .. radius-1 with dx from left to right, dx² + dy² < radius².
    """
    below = ((dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius) if dx * dx + dy * dy < radius**2)
    return (*((0, dx) for dx in range(1, radius)), *below)


def pair_affinities(features: Tensor, radius: int = RADIUS) -> Tensor:
    """Affinities of every "from" pixel to its partners.

    "From" pixels are rows 0 .. h-radius and columns radius-1 .. w-radius, so that all partners exist; the two index
    ranges are those of the published pair lists, row-major.

    Args:
        features: [B, C, h, w] with h >= radius and w >= 2 * radius - 1.
        radius: of the neighbourhood.

    Returns:
        [B, len(pair_offsets(radius)), (h - radius + 1) * (w - 2 * radius + 2)], in (0, 1]; float32 or wider. Forward
        and backward hold one offset's differences at a time, never [B, C, offsets, pixels].

    Raises:
        ParameterError: the map is too small for the radius.
    """
    height, width = features.shape[-2:]
    if height < radius or width < 2 * radius - 1:
        raise ParameterError(
            f"A feature map of {height} x {width} has no pairs of radius {radius}: it needs at least "
            f"{radius} x {2 * radius - 1} cells. Use larger images or a smaller radius."
        )
    return torch.exp(-_MeanAbsoluteDifference.apply(features, radius))


def dense_affinity_matrix(pairs: Tensor, height: int, width: int, radius: int = RADIUS) -> Tensor:
    """Scatter pair affinities [P, n] into the symmetric matrix [h*w, h*w] with ones on the diagonal.

    For small maps and for tests: the matrix of a 47 x 63 map takes 35 MB.
    """
    index = torch.arange(height * width, device=pairs.device).reshape(height, width)
    rows, columns = slice(0, height - radius + 1), slice(radius - 1, width - radius + 1)
    source = index[rows, columns].flatten()
    matrix = torch.eye(height * width, dtype=pairs.dtype, device=pairs.device)
    for values, offset in zip(pairs, pair_offsets(radius), strict=True):
        target = source + offset[0] * width + offset[1]
        matrix[source, target] = values
        matrix[target, source] = values
    return matrix


class _MeanAbsoluteDifference(torch.autograd.Function):
    """mean_c |f_from - f_to| for every offset; the differences are made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, radius: int) -> Tensor:
        ctx.save_for_backward(features)
        ctx.radius = radius
        dtype = torch.promote_types(features.dtype, torch.float32)
        source = _source(features, radius)
        distances = [
            (source - _target(features, radius, offset)).abs().mean(dim=1, dtype=dtype).flatten(1)
            for offset in pair_offsets(radius)
        ]
        return torch.stack(distances, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        source = _source(features, ctx.radius)
        grad = grad / features.shape[1]
        total = torch.zeros(features.shape, dtype=grad.dtype, device=grad.device)
        for i, offset in enumerate(pair_offsets(ctx.radius)):
            target = _target(features, ctx.radius, offset)
            pull = torch.sign(source - target) * grad[:, i].unflatten(1, source.shape[-2:]).unsqueeze(1)
            _source(total, ctx.radius).add_(pull)
            _target(total, ctx.radius, offset).sub_(pull)
        return total.to(features.dtype), None


def _source(x: Tensor, radius: int) -> Tensor:
    return _target(x, radius, (0, 0))


def _target(x: Tensor, radius: int, offset: tuple[int, int]) -> Tensor:
    dy, dx = offset
    height, width = x.shape[-2] - radius + 1, x.shape[-1] - 2 * radius + 2
    return x[..., dy : dy + height, radius - 1 + dx : radius - 1 + dx + width]
