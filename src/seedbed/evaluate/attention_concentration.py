"""Where attention goes: to the patch itself, to few patches that every other attends to, to the object.

What AReAM (He et al. 2023) says of affinity matrices in sections 1, 4.1 and 5.2 (early layers are diagonal, deep ones
emphasise particular columns, they become sparser towards convergence), as numbers that the paper does not give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.evaluate.concentration_statistics import ConcentrationStatistics
from seedbed.evaluate.scoring import ground_truth
from seedbed.evaluate.shown_inputs import shown_inputs
from seedbed.explain.attention_cams import patch_attention
from seedbed.explain.evaluated import evaluated
from seedbed.settings.checked import checked

VOID = 255


class ObjectShare(NamedTuple):
    """How much of each patch is object and how much is background, float64 [N] in 0..1; the rest is void."""

    object: Tensor
    background: Tensor


@checked
def diagonal_share(attention: Tensor) -> Tensor:
    """What patches give to themselves, as a share of all: float [..., N, N] >= 0 -> [...] float64 in 0..1; even: 1 / N.

    Raises:
        DataError: the attention is not square, negative, not finite, or zero throughout.
    """
    exact = _checked(attention)
    return exact.diagonal(dim1=-2, dim2=-1).sum(-1) / exact.sum((-2, -1))


@checked
def column_gini(attention: Tensor) -> Tensor:
    """Gini coefficient of what patches receive, the column sums c: float [..., N, N] >= 0 -> [...] float64.

    ``sum_i sum_j |c_i - c_j| / (2 N sum c)``: 0 where all receive the same, 1 - 1 / N where one receives everything.

    Raises:
        DataError: as `diagonal_share`.
    """
    received = _checked(attention).sum(-2).sort(-1).values
    count = received.shape[-1]
    ranks = 2 * torch.arange(1, count + 1, dtype=torch.float64, device=received.device) - count - 1
    return (received * ranks).sum(-1) / (count * received.sum(-1))


@checked
def object_mass(attention: Tensor, shares: ObjectShare) -> Tensor:
    """What the object receives of what object and background receive: float [..., N, N] >= 0 -> [...] float64 in 0..1.

    Args:
        attention: rows give, columns receive.
        shares: of the N patches; a patch that the object covers by half gives it half of its column.

    Raises:
        DataError: as `diagonal_share`, or there are not as many patches.
    """
    received = _checked(attention).sum(-2)
    if received.shape[-1] != len(shares.object):
        raise DataError(f"The mask has {len(shares.object)} patches, the attention {received.shape[-1]}.")
    found, beside = received @ shares.object, received @ shares.background
    return found / (found + beside)


@checked
def object_shares(truth: np.ndarray, grid: tuple[int, int]) -> ObjectShare:
    """Resize a mask to the patches: shares of each patch's area.

    Args:
        truth: uint8 [H, W]: 0 background, 1.. classes, 255 void.
        grid: (h, w) patches, as the image is squashed to them.
    """
    labels = torch.from_numpy(truth.astype(np.int64))
    kinds = torch.stack([(labels != 0) & (labels != VOID), labels == 0]).double()
    found = F.adaptive_avg_pool2d(kinds[None], grid)[0].flatten(1)
    return ObjectShare(found[0], found[1])


@torch.inference_mode()
def count_concentration(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: InputView,
    device: torch.device,
    begun: ConcentrationStatistics | None = None,
) -> ConcentrationStatistics:
    """Where each layer's patch-to-patch attention, the mean over heads, goes on images with a mask.

    Args:
        model: `MCTformer` or `Conformer`.
        index, records: the images.
        settings: how an image is brought to the network.
        device: where to compute.
        begun: statistics of other images, which these are added to.

    Raises:
        DataError: an image has no mask.
        UserError: the network is neither.
    """
    network: Any = evaluated(model.to(device), hooks=True)
    statistics = begun or ConcentrationStatistics()
    for record, pixels in shown_inputs(index, records, settings):
        layers = patch_attention(network, pixels[None].to(device))
        grid = (pixels.shape[-2] // network.patch_size, pixels.shape[-1] // network.patch_size)
        _count(statistics, torch.cat(layers).double().cpu(), object_shares(ground_truth(index, record), grid))
    return statistics


def _count(statistics: ConcentrationStatistics, layers: Tensor, shares: ObjectShare) -> None:
    """Add one image: attention [L, N, N], and the shares of its N patches."""
    area, known = float(shares.object.sum()), float(shares.object.sum() + shares.background.sum())
    on_object = object_mass(layers, shares).tolist() if area else None
    statistics.update(
        diagonal=diagonal_share(layers).tolist(),
        gini=column_gini(layers).tolist(),
        on_object=on_object,
        area=area / known if area else 0.0,
    )


def _checked(attention: Tensor) -> Tensor:
    square = attention.ndim > 1 and attention.shape[-1] == attention.shape[-2]
    if not square or not (attention.isfinite() & (attention >= 0)).all() or not (attention.sum((-2, -1)) > 0).all():
        raise DataError(
            f"Attention must be [..., N, N], finite, not negative, its sum above 0; it is {tuple(attention.shape)}."
        )
    return attention.double()
