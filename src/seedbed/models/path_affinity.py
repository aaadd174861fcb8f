"""Affinities of cells from a class boundary map: one minus the highest boundary on the path between two cells.

IRN (Ahn, Cho and Kwak, CVPR 2019), equation 5: a_ij = 1 - max of B(x_k) over the cells k on the line from i to j.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seedbed.errors import ParameterError
from seedbed.models.pair_affinity import pair_offsets


@cache
def path_cells(dy: int, dx: int) -> tuple[tuple[int, int], ...]:
    """Cells (y, x) on the path from (0, 0) to (dy, dx), both ends included, row by row.

    They are those of the box that both ends span which lie less than one cell from the straight line: one to three
    cells thick, so that no boundary of one cell's width is stepped over diagonally.
    """
    rows, columns = range(min(0, dy), max(0, dy) + 1), range(min(0, dx), max(0, dx) + 1)
    box = ((y, x) for y in rows for x in columns)
    return tuple((y, x) for y, x in box if (dy * x - dx * y) ** 2 < dy * dy + dx * dx)


def path_affinities(boundary: Tensor, radius: int) -> Tensor:
    """Affinities of every "from" cell to its partners; pairs and their order are those of `pair_affinities`.

    Args:
        boundary: float32 [B, h, w] in 0..1, with h >= radius and w >= 2 * radius - 1.
        radius: pairs are less than this far apart.

    Returns:
        float32 [B, len(pair_offsets(radius)), (h - radius + 1) * (w - 2 * radius + 2)] in 0..1. The gradient reaches
        the highest cell of each path alone, the first of equal ones. What is kept for it is one byte a pair; forward
        and backward hold one offset's paths at a time.

    Raises:
        ParameterError: the radius is below 2, or the map is too small for it.
    """
    if radius < 2:
        raise ParameterError(f"Within a radius of {radius} there is no pair of cells: it must be 2 or more.")
    height, width = boundary.shape[-2:]
    if height < radius or width < 2 * radius - 1:
        raise ParameterError(
            f"A boundary map of {height} x {width} has no pairs of radius {radius}: it needs at least "
            f"{radius} x {2 * radius - 1} cells. Use larger images or a smaller radius."
        )
    return 1 - _HighestOnPath.apply(boundary, radius)


class _HighestOnPath(torch.autograd.Function):
    """Maximum over each pair's path; which cell holds it is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, boundary: Tensor, radius: int) -> Tensor:
        highest, places = [], []
        for offset in pair_offsets(radius):
            path = torch.stack([_shifted(boundary, radius, cell) for cell in path_cells(*offset)])
            values, where = path.max(dim=0)
            highest.append(values.flatten(1))
            places.append(where.to(torch.uint8))
        ctx.save_for_backward(torch.stack(places, dim=1))
        ctx.radius, ctx.shape = radius, boundary.shape
        return torch.stack(highest, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        total = torch.zeros(ctx.shape, dtype=grad.dtype, device=grad.device)
        grad = grad.unflatten(2, places.shape[-2:])
        for i, offset in enumerate(pair_offsets(ctx.radius)):
            for k, cell in enumerate(path_cells(*offset)):
                _shifted(total, ctx.radius, cell).add_(grad[:, i] * (places[:, i] == k))
        return total, None


def _shifted(maps: Tensor, radius: int, cell: tuple[int, int]) -> Tensor:
    """What lies at ``cell`` from each "from" cell of maps [B, h, w]: a view [B, rows, columns]."""
    top, left = cell[0], radius - 1 + cell[1]
    return maps[:, top : top + maps.shape[-2] - radius + 1, left : left + maps.shape[-1] - 2 * radius + 2]
