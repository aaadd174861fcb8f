"""Mean-field inference in a fully connected CRF by Gaussian filtering (Krähenbühl and Koltun, NeurIPS 2011).

In each iteration (algorithm 1) the label distributions of all pixels are filtered by each Gaussian, and every label
loses what the others gained (Potts). Kernels are normalised on both sides: ``K_ij / sqrt(sum_j K_ij sum_i K_ij)``.
The lattices depend on the image alone, so several unary terms of one image share them, and one pass filters all.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from seedbed.refine.crf_input import check_image
from seedbed.refine.permutohedral import Filters, Lattice, build_lattice
from seedbed.settings.checked import checked

Array = np.ndarray

LABELS_AT_ONCE = 12
"""That a CPU filters in one pass: the values of more of them leave its caches."""

FILLED_UP_TO = 4
"""The published implementation takes pixels in fours, the missing ones black and in the corner, and their vertices pass
blurred values on. So do ours, or posteriors would differ by up to 0.03 where a colour lies on borders of simplices."""


@torch.no_grad()
@checked
def image_kernels(
    image: Array, spatial: tuple[float, float], bilateral: tuple[float, float, float], device: torch.device
) -> Filters:
    """Return the Gaussian of distance plus that of distance and colour between all pixels, normalised and weighted.

    Args:
        image: ``[H, W, 3]`` uint8.
        spatial: width in pixels, weight in nats.
        bilateral: width in pixels, width in grey levels, weight in nats.
        device: where to filter.

    Raises:
        DataError: the image is none.
        ParameterError: a width is not above 0, or so small that the lattice breaks down.
    """
    image = check_image(image)
    size = image.shape[:2]
    width, grey_levels, weight = bilateral
    colour = torch.from_numpy(image).to(device).view(-1, 3).t().float().div_(float(np.float32(grey_levels)))
    filtered = build_lattice(torch.cat([_positions(size, width, device), colour]), FILLED_UP_TO).normalised(weight)
    return Filters.of(_spatial(size, *spatial, device), filtered)


@torch.no_grad()
def mean_field(
    kernels: Filters, unary: Tensor, runs: Sequence[int], iterations: int, shares: Tensor | None = None
) -> Tensor:
    """Return the posteriors of several unary terms.

    Args:
        kernels: of the image.
        unary: ``[C, N]`` float32, energies in nats, the labels of one run after those of the other.
        runs: number of labels of each run; they sum to C.
        iterations: of the inference.
        shares: ``[C]`` float32, factors of the Potts weight of each label; None: 1.

    Returns:
        ``[C, N]`` float32, summing to 1 over the labels of each run.
    """
    given = -unary
    at_once = LABELS_AT_ONCE if unary.device.type == "cpu" else len(unary)
    logits, posteriors = torch.empty_like(given), _softmax(given, runs)
    for _ in range(iterations):
        for part in (slice(first, first + at_once) for first in range(0, len(unary), at_once)):
            received = kernels.filter(_by_pixel(posteriors[part]))
            if shares is not None:
                received *= shares[part]
            torch.add(given[part], received.t(), out=logits[part])
        posteriors = _softmax(logits, runs)
    return posteriors


def _by_pixel(posteriors: Tensor) -> Tensor:
    """Return ``[N, C]``. A few columns are copied faster one by one, up to a cache line of them."""
    if len(posteriors) > LABELS_AT_ONCE:
        return posteriors.t().contiguous()
    values = posteriors.new_empty(posteriors.shape[::-1])
    for row, column in zip(posteriors, values.unbind(1), strict=True):
        column.copy_(row)
    return values


def _softmax(logits: Tensor, runs: Sequence[int]) -> Tensor:
    if len(set(runs)) == 1:
        return logits.view(len(runs), runs[0], -1).softmax(dim=1).view_as(logits)
    return torch.cat([part.softmax(dim=0) for part in logits.split(list(runs))])


@lru_cache(maxsize=4)
def _spatial(size: tuple[int, int], width: float, weight: float, device: torch.device) -> Lattice:
    """Distance alone makes this lattice: images of one size share it."""
    return build_lattice(_positions(size, width, device), FILLED_UP_TO).normalised(weight)


def _positions(size: tuple[int, int], width: float, device: torch.device) -> Tensor:
    """Return x and y of the pixels in units of the width, ``[2, N]`` float32."""
    height, columns = size
    y = torch.arange(height, dtype=torch.float32, device=device)[:, None].expand(size)
    x = torch.arange(columns, dtype=torch.float32, device=device).expand(size)
    return torch.stack([x.flatten(), y.flatten()]).div_(float(np.float32(width)))
