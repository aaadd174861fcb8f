"""Where attention goes: to the patch itself, to few patches that every other attends to, to the object.

What AReAM (He et al. 2023) says of affinity matrices in sections 1, 4.1 and 5.2 (early layers are diagonal, deep ones
emphasise particular columns, they become sparser towards convergence), as numbers that the paper does not give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.evaluate.attention import network_inputs
from seedbed.evaluate.scoring import ground_truth
from seedbed.explain.attention_cams import patch_attention
from seedbed.explain.evaluated import evaluated
from seedbed.settings.checked import checked

VOID = 255
MEASURES = ("diagonal", "gini", "object")


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


class ConcentrationStatistics:
    """Means over images of `diagonal_share`, `column_gini` and `object_mass`, layer by layer."""

    def __init__(self) -> None:
        self.totals: dict[str, list[float]] = {}
        self.area = 0.0
        self.images = 0
        self.with_object = 0

    @checked
    def update(self, layers: Sequence[Tensor], shares: ObjectShare) -> None:
        """Count one image: a matrix [N, N] for each layer; one without any object counts for the other two measures."""
        self._add("diagonal", [float(diagonal_share(layer)) for layer in layers])
        self._add("gini", [float(column_gini(layer)) for layer in layers])
        self.images += 1
        area, known = float(shares.object.sum()), float(shares.object.sum() + shares.background.sum())
        if area:
            self._add("object", [float(object_mass(layer, shares)) for layer in layers])
            self.area += area / known
            self.with_object += 1

    def merge(self, other: ConcentrationStatistics) -> None:
        """Add the counts of another, over the same layers."""
        for name, totals in other.totals.items():
            self._add(name, totals)
        self.area += other.area
        self.images += other.images
        self.with_object += other.with_object

    def result(self) -> dict[str, Any]:
        """Fractions.

        Returns:
            For each of ``diagonal``, ``gini`` and ``object``: ``<name>_per_layer`` (a list), ``<name>_shallow`` and
            ``<name>_deep`` (means over the first and the last half of the layers; a middle one is in both);
            ``object_area``: share of the pixels that are object, which even attention would give it; ``images`` and
            ``images_with_object``.

        Raises:
            DataError: there are no images, or none has an object.
        """
        if not self.with_object:
            raise DataError("There are no images with an object to measure the attention on.")
        found: dict[str, Any] = {}
        for name in MEASURES:
            count = self.with_object if name == "object" else self.images
            layers = [total / count for total in self.totals[name]]
            half = (len(layers) + 1) // 2
            found |= {f"{name}_per_layer": layers}
            found |= {f"{name}_shallow": float(np.mean(layers[:half])), f"{name}_deep": float(np.mean(layers[-half:]))}
        area = self.area / self.with_object
        return {**found, "object_area": area, "images": self.images, "images_with_object": self.with_object}

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists, for JSON; `from_dict` reads them back."""
        counts = {"area": self.area, "images": self.images, "with_object": self.with_object}
        return {"totals": {name: list(totals) for name, totals in self.totals.items()}, **counts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConcentrationStatistics:
        """Rebuild counts from `to_dict`."""
        statistics = cls()
        statistics.totals = {name: list(totals) for name, totals in values["totals"].items()}
        statistics.area, statistics.images = float(values["area"]), int(values["images"])
        statistics.with_object = int(values["with_object"])
        return statistics

    def _add(self, name: str, layers: Sequence[float]) -> None:
        before = self.totals.get(name, [0.0] * len(layers))
        if len(before) != len(layers):
            raise DataError(f"Cannot add the attention of {len(layers)} layers to that of {len(before)}.")
        self.totals[name] = [total + more for total, more in zip(before, layers, strict=True)]


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
    for record, pixels in network_inputs(index, records, settings):
        layers = patch_attention(network, pixels[None].to(device))
        grid = (pixels.shape[-2] // network.patch_size, pixels.shape[-1] // network.patch_size)
        shares = object_shares(ground_truth(index, record), grid)
        statistics.update([layer[0].double().cpu() for layer in layers], shares)
    return statistics


def _checked(attention: Tensor) -> Tensor:
    square = attention.ndim > 1 and attention.shape[-1] == attention.shape[-2]
    if not square or not (attention.isfinite() & (attention >= 0)).all() or not (attention.sum((-2, -1)) > 0).all():
        raise DataError(
            f"Attention must be [..., N, N], finite, not negative and somewhere above 0; it is {tuple(attention.shape)}."
        )
    return attention.double()
