"""What the layers of a transformer attend to: Hellinger distances within a layer's patch-to-patch attention.

AReAM (He et al. 2023), equation 6; figure 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.evaluate.shown_inputs import shown_inputs
from seedbed.explain.attention_cams import patch_attention
from seedbed.explain.evaluated import evaluated
from seedbed.settings.checked import checked


@checked
def hellinger_distances(attention: Tensor, *, renormalise: bool = False) -> Tensor:
    """Hellinger distance between every two rows (equation 6), from one matrix product.

    ``H(p, q)^2 = 1/2 sum_k (sqrt p_k - sqrt q_k)^2 = (sum p + sum q) / 2 - sum_k sqrt(p_k q_k)``; for distributions
    that is ``1 - sqrt(A) sqrt(A)^T``.

    Args:
        attention: [..., N, M] float >= 0; N rows are compared.
        renormalise: divide each row by its sum first. Rows of attention cut down to patches sum to less than 1 by what
            they give to class tokens; as they are, their distances are a little smaller. A row of zeros stays so.

    Returns:
        [..., N, N] float64, symmetric, 0 on the diagonal; in 0..1 for distributions.

    Raises:
        DataError: a value is negative or not finite.
    """
    if attention.ndim < 2 or not (attention.isfinite() & (attention >= 0)).all():
        raise DataError(f"Attention must be [..., N, M], finite and not negative; it is {tuple(attention.shape)}.")
    exact = attention.double()
    if renormalise:
        exact = exact / exact.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    roots, sums = exact.sqrt(), exact.sum(dim=-1)
    # In float64: rows of a smooth layer are nearly equal, and the small difference of large sums is what is wanted.
    squared = (sums[..., :, None] + sums[..., None, :]) / 2 - roots @ roots.mT
    distances = squared.clamp(min=0).sqrt()
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances


@checked
def mean_hellinger(attention: Tensor, *, renormalise: bool = False) -> Tensor:
    """Mean Hellinger distance over the pairs of different rows: [..., N, M] -> [...] float64.

    Args:
        attention, renormalise: as in `hellinger_distances`.

    Raises:
        DataError: there are fewer than two rows.
    """
    rows = attention.shape[-2] if attention.ndim > 1 else 0
    if rows < 2:
        raise DataError(f"Distances need two rows or more, got attention of shape {tuple(attention.shape)}.")
    return hellinger_distances(attention, renormalise=renormalise).sum(dim=(-2, -1)) / (rows * (rows - 1))


class AttentionStatistics:
    """Mean Hellinger distance within each layer, over images."""

    def __init__(self) -> None:
        self.totals: list[float] = []
        self.images = 0

    def update(self, layers: Sequence[float]) -> None:
        """Count one image: a distance for each layer."""
        self._add(list(map(float, layers)), 1)

    def merge(self, other: AttentionStatistics) -> None:
        """Add the counts of another, over the same layers."""
        if other.images:
            self._add(other.totals, other.images)

    def result(self) -> dict[str, Any]:
        """``hellinger_per_layer`` (a list), ``hellinger`` (its mean), ``images``.

        Raises:
            DataError: there are no images.
        """
        if not self.images:
            raise DataError("There are no images to measure the attention on.")
        per_layer = [total / self.images for total in self.totals]
        return {"hellinger_per_layer": per_layer, "hellinger": float(np.mean(per_layer)), "images": self.images}

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists, for JSON; `from_dict` reads them back."""
        return {"totals": self.totals, "images": self.images}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AttentionStatistics:
        """Rebuild counts from `to_dict`."""
        statistics = cls()
        statistics.totals, statistics.images = list(values["totals"]), int(values["images"])
        return statistics

    def _add(self, layers: Sequence[float], images: int) -> None:
        if self.images and len(layers) != len(self.totals):
            raise DataError(f"Cannot add distances of {len(layers)} layers to those of {len(self.totals)}.")
        before = self.totals if self.images else [0.0] * len(layers)
        self.totals = [total + more for total, more in zip(before, layers, strict=True)]
        self.images += images


@torch.inference_mode()
def count_attention(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: InputView,
    device: torch.device,
    *,
    renormalise: bool = False,
    begun: AttentionStatistics | None = None,
) -> AttentionStatistics:
    """Mean Hellinger distance within each layer's patch-to-patch attention, over images (figure 4b).

    Args:
        model: `MCTformer` or `Conformer`.
        index, records: the images.
        settings: how an image is brought to the network.
        device: where to compute.
        renormalise: as in `hellinger_distances`.
        begun: statistics of other images, which these are added to.
    """
    model, statistics = evaluated(model.to(device), hooks=True), begun or AttentionStatistics()
    for _, pixels in shown_inputs(index, records, settings):
        layers = patch_attention(model, pixels[None].to(device))
        distances = torch.cat([mean_hellinger(layer, renormalise=renormalise) for layer in layers])
        statistics.update(distances.tolist())
    return statistics


@torch.inference_mode()
def attention_matrices(
    model: nn.Module, index: DataIndex, records: Sequence[Record], settings: InputView, device: torch.device
) -> dict[str, np.ndarray]:
    """Each image's patch-to-patch attention of every layer, float32 [L, N, N], averaged over heads (figure 8).

    Args:
        model, index, records, settings, device: as in `count_attention`.
    """
    model = evaluated(model.to(device), hooks=True)
    return {
        record.image: torch.cat(patch_attention(model, pixels[None].to(device))).float().cpu().numpy()
        for record, pixels in shown_inputs(index, records, settings)
    }
