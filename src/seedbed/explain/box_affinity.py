"""Attention that spreads maps within boxes: class-aware affinity (CLIP-ES, Lin et al. 2023, section 3.3)."""

from typing import Literal, get_args

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.text_cam import stretched
from seedbed.settings.kinds import Fraction

BoxEnds = Literal["whole", "open"]
"""``whole``: a box holds all of its region. ``open``: where a region reaches the last row or column of the grid, the
box leaves that out, so that a region which lies there alone has an empty box (CLIP-ES and all that took it over)."""

ALL_AROUND = np.zeros((3, 3, 3), bool)
ALL_AROUND[1] = True
"""Eight neighbours within a map, none in another map of the stack."""


def transition(attention: Tensor, rounds: int = 3) -> Tensor:
    """Make a transition matrix of attention: nearly doubly stochastic by Sinkhorn's rounds, symmetric, squared.

    Each round divides by the sums of the columns, then by those of the rows (equations 4 to 6).

    Args:
        attention: [..., N, N], not negative; a row is a query. A factor on all of it changes nothing.
        rounds: of the two divisions.
    """
    for _ in range(rounds):
        attention = attention / attention.sum(-2, keepdim=True)
        attention = attention / attention.sum(-1, keepdim=True)
    symmetric = (attention + attention.mT) / 2
    return symmetric @ symmetric


def box_mask(maps: Tensor, threshold: Fraction, ends: BoxEnds = "whole") -> Tensor:
    """Cells within the bounding boxes of the regions where a map is large: float [P, h, w] of 0 and 1.

    Regions are 8-connected cells whose grey level, the map in 0..255 with its fraction cut off, is above ``threshold``
    times the largest. A map of zeros has none, and an empty mask.

    Args:
        maps: [P, h, w] in 0..1.
        threshold: share of the largest value.
        ends: how boxes end at the last row and column.

    Raises:
        ParameterError: they end in no such way.
    """
    if ends not in get_args(BoxEnds):
        raise ParameterError(unknown_name("box_ends", ends, get_args(BoxEnds)))
    grey = (maps.detach().float().cpu().numpy() * 255).astype(np.uint8)
    limits = (threshold * grey.max(axis=(1, 2)).astype(np.float64)).astype(np.int64)
    regions, count = ndimage.label(grey > limits[:, None, None], ALL_AROUND)
    corners = np.zeros((len(grey), grey.shape[1] + 1, grey.shape[2] + 1), np.int64)
    if count:
        inner = np.array([[(side.start, side.stop) for side in box] for box in ndimage.find_objects(regions)])
        which, (top, bottom), (left, right) = inner[:, 0, 0], inner[:, 1].T, inner[:, 2].T
        if ends == "open":
            bottom, right = np.minimum(bottom, grey.shape[1] - 1), np.minimum(right, grey.shape[2] - 1)
            filled = (bottom > top) & (right > left)
            which, top, bottom, left, right = (side[filled] for side in (which, top, bottom, left, right))
        for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(corners, (which, rows, columns), sign)
    inside = corners.cumsum(1).cumsum(2)[:, :-1, :-1] > 0
    return torch.from_numpy(inside).to(maps)


def spread(maps: Tensor, transitions: Tensor, mask: Tensor | None = None) -> Tensor:
    """Let cells within boxes send their part of a map to all cells (equation 7): [P, N].

    Args:
        maps: [P, N].
        transitions: [P, N, N]; cell i gets a share [i, j] of cell j.
        mask: [P, N] of 0 and 1, the cells that send; None: all of them.
    """
    sent = maps if mask is None else maps * mask
    return (transitions @ sent[..., None]).squeeze(-1)


def spread_in_boxes(
    maps: Tensor,
    transitions: Tensor,
    grid: tuple[int, int],
    threshold: Fraction | None,
    ends: BoxEnds = "whole",
    weights: Tensor | None = None,
) -> Tensor:
    """Maps spread from within the boxes of their own strong regions, [P, N] in 0..1.

    Args:
        maps: [P, N] in 0..1.
        transitions: [P, N, N], see `spread`.
        grid: (h, w).
        threshold, ends: see `box_mask`; threshold None: no boxes.
        weights: [P, N], what maps are multiplied by once their boxes are drawn; None: 1.
    """
    mask = None if threshold is None else box_mask(maps.unflatten(1, grid), threshold, ends).flatten(1)
    return stretched(spread(maps if weights is None else maps * weights, transitions, mask))
