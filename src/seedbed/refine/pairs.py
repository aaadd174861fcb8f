"""Pairs of neighbouring cells: which they are, how a label map labels them, and their affinities as a sparse matrix.

As in PSA (Ahn and Kwak, CVPR 2018), cells pair with cells less than ``radius`` away, each pair once: the "from" cell
comes first in reading order. As recorded from the published code, "from" cells are only those whose whole neighbourhood
lies inside the map (rows ``0 .. h - radius``, columns ``radius - 1 .. w - radius``), so that pairs along the border are
missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import sparse

from seedbed.errors import DataError, ParameterError
from seedbed.settings.checked import checked

if TYPE_CHECKING:
    import torch

Labels = TypeVar("Labels", "np.ndarray", "torch.Tensor")

IGNORE = 255
MAX_RADIUS = 64


@checked
def affinity_offsets(radius: int = 5) -> np.ndarray:
    """Return the pair offsets ``[n, 2]`` int64 as (dy, dx): ``(0, 1) .. (0, radius - 1)``, then row by row downwards.

    ``dx^2 + dy^2 < radius^2``; radius 5 gives 34 offsets.
    """
    if not 2 <= radius <= MAX_RADIUS:
        raise ParameterError(f"radius must lie in 2..{MAX_RADIUS}, got {radius}.")
    ahead = [(0, dx) for dx in range(1, radius)]
    below = [
        (dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius) if dx * dx + dy * dy < radius * radius
    ]
    return np.array(ahead + below, dtype=np.int64)


@checked
def affinity_pair_indices(h: int, w: int, radius: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat (row-major) cell indices of all pairs of an ``h x w`` map.

    Returns:
        from ``[n_from]`` and to ``[n_offsets, n_from]``, int64, with ``n_from = (h - radius + 1) (w - 2 radius + 2)``.

    Raises:
        DataError: the map is too small to hold one neighbourhood.
    """
    offsets = affinity_offsets(radius)
    rows, columns = _from_extent(h, w, radius)
    origin = (np.arange(rows)[:, None] * w + np.arange(radius - 1, radius - 1 + columns)).reshape(-1)
    return origin, origin + (offsets[:, :1] * w + offsets[:, 1:])


@checked
def affinity_labels(label_map: Labels, radius: int = 5) -> tuple[Labels, Labels, Labels]:
    """Label all pairs of a map as background-positive, foreground-positive or negative (PSA; [Re], figure 2).

    Both background: background-positive. Equal, not background: foreground-positive. Different: negative. A pair with
    an ignored cell (255) is none of them.

    Args:
        label_map: ``[h, w]`` or ``[B, h, w]`` integer, numpy or torch.
        radius: pairs are less than this far apart.

    Returns:
        Three arrays of the same kind, ``[n_offsets, n_from]`` or ``[B, n_offsets, n_from]``, uint8 0/1, in the order of
        `affinity_pair_indices`.

    Raises:
        DataError: not an integer map, or too small for the radius.
    """
    _check_label_map(label_map)
    h, w = label_map.shape[-2:]
    rows, columns = _from_extent(h, w, radius)

    def shifted(dy: int, dx: int) -> Labels:
        left = radius - 1 + dx
        return label_map[..., dy : dy + rows, left : left + columns]

    origin = shifted(0, 0)[..., None, :, :]
    partner = _stack([shifted(dy, dx) for dy, dx in affinity_offsets(radius).tolist()])
    valid = (origin != IGNORE) & (partner != IGNORE)
    equal = origin == partner
    background = equal & (origin == 0)
    foreground = equal & (origin != 0) & valid
    negative = ~equal & valid
    return _flat_uint8(background), _flat_uint8(foreground), _flat_uint8(negative)


@checked
def affinity_matrix(pairs: np.ndarray, h: int, w: int) -> sparse.dia_array:
    """Return the symmetric ``N x N`` matrix of pair affinities, ``N = h w``, with ones on the diagonal.

    Args:
        pairs: ``[n_offsets, n_from]`` float, non-negative, as an affinity network predicts them; the radius is read off
            the number of offsets.

    Returns:
        A banded sparse matrix in the dtype of ``pairs``; cells that are no pair have affinity 0.

    Raises:
        DataError: the shape belongs to no radius on this grid.
    """
    radius = _radius_of(pairs, h, w)
    offsets = affinity_offsets(radius)
    origin, target = affinity_pair_indices(h, w, radius)
    steps = offsets[:, 0] * w + offsets[:, 1]
    # Diagonal k of the format holds A[j - k, j] at column j.
    upper = np.zeros((len(steps), h * w), dtype=pairs.dtype)
    lower = np.zeros_like(upper)
    np.put_along_axis(upper, target, pairs, axis=1)
    lower[:, origin] = pairs
    diagonals = np.concatenate([np.ones((1, h * w), dtype=pairs.dtype), upper, lower])
    return sparse.dia_array((diagonals, np.concatenate([[0], steps, -steps])), shape=(h * w, h * w))


@checked
def shrink_radius(h: int, w: int, radius: int = 5) -> int:
    """Return ``(min(h, w) - 1) // 2`` if a side is below ``2 radius + 1``, else ``radius``, as TransCAM does."""
    side = min(h, w)
    return (side - 1) // 2 if side < 2 * radius + 1 else radius


def _from_extent(h: int, w: int, radius: int) -> tuple[int, int]:
    rows, columns = h - radius + 1, w - 2 * (radius - 1)
    if rows < 1 or columns < 1:
        raise DataError(
            f"A map of {h} x {w} cells is too small for radius {radius}: needs {radius} x {2 * radius - 1}."
        )
    return rows, columns


def _radius_of(pairs: np.ndarray, h: int, w: int) -> int:
    for radius in range(2, MAX_RADIUS + 1):
        count = len(affinity_offsets(radius))
        if pairs.ndim == 2 and count == len(pairs):
            rows, columns = _from_extent(h, w, radius)
            if pairs.shape[1] == rows * columns:
                return radius
        if count >= len(pairs):
            break
    raise DataError(f"Pair affinities of shape {pairs.shape} belong to no radius on a grid of {h} x {w} cells.")


def _check_label_map(label_map: Labels) -> None:
    if label_map.ndim not in (2, 3):
        raise DataError(f"Need a label map [h, w] or [B, h, w], got {tuple(label_map.shape)}.")
    if isinstance(label_map, np.ndarray):
        whole = np.issubdtype(label_map.dtype, np.integer)
    else:
        whole = not (label_map.is_floating_point() or label_map.is_complex())
    if not whole:
        raise DataError(f"A label map must hold integers, got {label_map.dtype}.")


def _stack(views: list[Labels]) -> Labels:
    if isinstance(views[0], np.ndarray):
        return np.stack(views, axis=-3)
    import torch

    return torch.stack(views, dim=-3)


def _flat_uint8(pairs: Labels) -> Labels:
    pairs = pairs.reshape((*pairs.shape[:-2], -1))
    if isinstance(pairs, np.ndarray):
        return pairs.astype(np.uint8)
    return pairs.byte()
