"""What the layers of a transformer attend to: Hellinger distances within a layer, and what each layer gains a CAM.

AReAM (He et al. 2023), equation 6 and section 3.2; figures 2, 4 and 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seedbed.data.ahead import read_ahead
from seedbed.data.index import DataIndex, Record
from seedbed.data.pictures import read_picture
from seedbed.data.views import view
from seedbed.errors import DataError
from seedbed.evaluate.scoring import ground_truth
from seedbed.evaluate.thresholds import DEFAULT_THRESHOLDS, ThresholdSweep
from seedbed.explain.attention_cams import patch_attention, refined_by_layer, unrefined
from seedbed.explain.pictures import explained_pictures
from seedbed.io.heatmaps import HeatMaps
from seedbed.params.stages import Explainer, Input, Scoring
from seedbed.refine.resize import at_picture_size


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
    """
    exact = attention.double()
    if renormalise:
        exact = exact / exact.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    roots, sums = exact.sqrt(), exact.sum(dim=-1)
    # In float64: rows of a smooth layer are nearly equal, and the small difference of large sums is what is wanted.
    squared = (sums[..., :, None] + sums[..., None, :]) / 2 - roots @ roots.mT
    distances = squared.clamp(min=0).sqrt()
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances


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


class LayerGain:
    """mIoU of the maps that each layer refines, at each layer's best background score.

    Args:
        num_classes: labels with background.
        num_layers: how many layers.
        thresholds: background scores, see `ThresholdSweep`.
    """

    def __init__(self, num_classes: int, num_layers: int, thresholds: Sequence[float] = DEFAULT_THRESHOLDS) -> None:
        self.sweeps = [ThresholdSweep(num_classes, thresholds) for _ in range(num_layers)]

    def update(self, maps: np.ndarray, labels: Sequence[int], truth: np.ndarray) -> None:
        """Count one picture: maps [L, K, H, W] in 0..1, labels [K] and truth [H, W] as in `ThresholdSweep.update`."""
        if len(maps) != len(self.sweeps):
            raise DataError(f"Got maps of {len(maps)} layers, expected {len(self.sweeps)}.")
        for sweep, layer in zip(self.sweeps, maps, strict=True):
            sweep.update(layer, labels, truth)

    def merge(self, other: LayerGain) -> None:
        """Add the counts of another, over the same layers, classes and thresholds."""
        if len(other.sweeps) != len(self.sweeps):
            raise DataError(f"Cannot merge counts of {len(other.sweeps)} and of {len(self.sweeps)} layers.")
        for sweep, more in zip(self.sweeps, other.sweeps, strict=True):
            sweep.merge(more)

    def scores(self, convention: str = "all_classes") -> dict[str, Any]:
        """``miou_per_layer`` and ``background_per_layer`` (lists), ``best_miou`` and ``best_layer`` (from 0)."""
        best = [sweep.best("full_scan", convention) for sweep in self.sweeps]
        winner = int(np.argmax([one.miou for one in best]))
        return {
            "miou_per_layer": [one.miou for one in best],
            "background_per_layer": [one.threshold for one in best],
            "best_miou": best[winner].miou,
            "best_layer": winner,
        }


class LayerMaps(NamedTuple):
    """Maps of one picture at its size, float32 in 0..1: the CAM, refined by each layer, and by all of them.

    Attributes:
        cam: [K, H, W].
        layers: [L, K, H, W].
        all_layers: [K, H, W].
    """

    cam: np.ndarray
    layers: np.ndarray
    all_layers: np.ndarray


def layer_maps(
    model: nn.Module, index: DataIndex, records: Sequence[Record], settings: Explainer, device: torch.device
) -> Iterator[tuple[Record, tuple[int, ...], LayerMaps]]:
    """Yield (record, class indices, maps) of each picture; every view takes one forward pass for all layers.

    Args:
        model, index, records, device: as in ``seedbed.explain.pictures.picture_heatmaps``.
        settings: of the method ``mct_refined`` or ``transcam``; each layer's maps are fused over the views as the
            method's own are.
    """
    options = {name: value for name, value in settings.options.items() if name != "layers"}

    def run(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        start = unrefined(model, images, targets, settings.method, **options)
        layers = refined_by_layer(start)
        return torch.cat([start.maps[:, None], layers, layers.sum(dim=1, keepdim=True)], dim=1)

    for item in explained_pictures(model, index, records, settings, device, run):
        fused = item.fuse(settings)
        # All layers' maps as if each were a class of its own, only to bring them to the picture's size.
        flat = fused.reshape(-1, *fused.shape[-2:])
        heat = HeatMaps(np.arange(len(flat)), flat, item.size)
        maps = at_picture_size(heat).maps.reshape(*fused.shape[:2], *item.size)
        yield item.record, item.classes, LayerMaps(maps[0], maps[1:-1], maps[-1])


def score_layers(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: Explainer,
    scoring: Scoring,
    device: torch.device,
) -> dict[str, Any]:
    """What refining by each layer gains (figures 2 and 10), each at its best background score.

    Returns:
        `LayerGain.scores`, ``miou_cam`` (no attention), ``miou_all_layers``, ``images``.

    Raises:
        DataError: there are no pictures, or one has no ground truth.
    """
    if not records:
        raise DataError("There are no pictures to score.")
    grid = [round(k * scoring.sweep_step, 6) for k in range(scoring.sweep_count)]
    gain = ends = None
    for record, classes, maps in layer_maps(model, index, records, settings, device):
        if gain is None:
            gain = LayerGain(len(index.classes) + 1, len(maps.layers), grid)
            ends = LayerGain(len(index.classes) + 1, 2, grid)
        labels, truth = [label + 1 for label in classes], ground_truth(index, record)
        gain.update(maps.layers, labels, truth)
        ends.update(np.stack([maps.cam, maps.all_layers]), labels, truth)
    cam, all_layers = ends.scores(scoring.miou)["miou_per_layer"]
    return {**gain.scores(scoring.miou), "miou_cam": cam, "miou_all_layers": all_layers, "images": len(records)}


@torch.inference_mode()
def attention_statistics(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: Input,
    device: torch.device,
    *,
    renormalise: bool = False,
) -> dict[str, Any]:
    """Mean Hellinger distance within each layer's patch-to-patch attention, over pictures (figure 4b).

    Args:
        model: `MCTformer` or `Conformer`.
        index, records: the pictures.
        settings: how a picture is brought to the network.
        device: where to compute.
        renormalise: as in `hellinger_distances`.

    Returns:
        ``hellinger_per_layer`` (a list), ``hellinger`` (its mean), ``images``.

    Raises:
        DataError: there are no pictures.
    """
    if not records:
        raise DataError("There are no pictures to measure the attention on.")
    model = model.to(device).eval()
    views = read_ahead(
        records,
        lambda record: view(
            read_picture(index.root / record.path),
            size=settings.size,
            interpolation=settings.interpolation,
            normalisation=settings.normalize,
        ),
    )
    total = sum(
        torch.cat([mean_hellinger(layer, renormalise=renormalise) for layer in patch_attention(model, picture[None])])
        for picture in (pixels.to(device) for pixels in views)
    )
    per_layer = (total / len(records)).tolist()
    return {"hellinger_per_layer": per_layer, "hellinger": float(np.mean(per_layer)), "images": len(records)}
