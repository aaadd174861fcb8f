"""Seeds layer by layer: mIoU, FP and FN of each layer's maps (AReAM, figures 2 and 10; eX-ViT, figure 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError
from seedbed.evaluate.scoring import ScoringSettings, ground_truth
from seedbed.evaluate.thresholds import DEFAULT_THRESHOLDS, ThresholdSweep
from seedbed.explain.by_layer import maps_by_layer
from seedbed.explain.dataset_maps import explained_pictures
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.heatmaps import HeatMaps
from seedbed.refine.resize import at_picture_size
from seedbed.settings.checked import checked


class LayerMaps(NamedTuple):
    """Maps of one image at its size, float32 in 0..1; see ``seedbed.explain.by_layer.ByLayer``.

    Attributes:
        layers: [L, K, H, W].
        beside: [K, H, W] by name.
    """

    layers: np.ndarray
    beside: dict[str, np.ndarray]


class LayerGain:
    """Quality of the maps of each layer, at each layer's best background score.

    Args:
        num_classes: labels with background.
        num_layers: how many layers.
        thresholds: background scores, see `ThresholdSweep`.
        beside: names of maps that are scored beside the layers.
        convention: of the mean, as in `ConfusionMatrix.miou`.
    """

    @checked
    def __init__(
        self,
        num_classes: int,
        num_layers: int,
        thresholds: Sequence[float] = DEFAULT_THRESHOLDS,
        beside: Sequence[str] = (),
        convention: str = "all_classes",
    ) -> None:
        self.convention = convention
        self.sweeps = [ThresholdSweep(num_classes, thresholds) for _ in range(num_layers)]
        self.beside = {name: ThresholdSweep(num_classes, thresholds) for name in beside}
        self.images = 0

    @checked
    def update(self, maps: LayerMaps, labels: Sequence[int], truth: np.ndarray) -> None:
        """Count one image: its maps, labels [K] and truth [H, W] as in `ThresholdSweep.update`."""
        if len(maps.layers) != len(self.sweeps):
            raise DataError(f"Got maps of {len(maps.layers)} layers, expected {len(self.sweeps)}.")
        for sweep, layer in zip(self.sweeps, maps.layers, strict=True):
            sweep.update(layer, labels, truth)
        for name, sweep in self.beside.items():
            sweep.update(maps.beside[name], labels, truth)
        self.images += 1

    def merge(self, other: LayerGain) -> None:
        """Add the counts of another, over the same layers, classes and thresholds."""
        if len(other.sweeps) != len(self.sweeps):
            raise DataError(f"Cannot merge counts of {len(other.sweeps)} and of {len(self.sweeps)} layers.")
        for sweep, more in zip(self._all(), other._all(), strict=True):
            sweep.merge(more)
        self.images += other.images

    def result(self) -> dict[str, Any]:
        """Fractions, by layer and beside.

        Returns:
            ``miou_per_layer``, ``background_per_layer``, ``fp_per_layer`` and ``fn_per_layer`` (over unions, of all
            classes), ``fp_over_tp_per_layer`` and ``fn_over_tp_per_layer`` (over true positives, of the foreground;
            None where nothing is found), all lists; ``best_miou`` and ``best_layer`` (from 0), ``miou_<name>`` of what
            is scored beside, ``images``. With a CAM ``gain_per_layer``, ``gain_all_layers``: mIoU less its.
        """
        best = [sweep.best("full_scan", self.convention) for sweep in self.sweeps]
        matrices = [sweep.confusions()[one.index] for sweep, one in zip(self.sweeps, best, strict=True)]
        winner = int(np.argmax([one.miou for one in best]))
        beside = {name: sweep.best("full_scan", self.convention).miou for name, sweep in self.beside.items()}
        gains: dict[str, Any] = {}
        if "cam" in beside:
            gains["gain_per_layer"] = [one.miou - beside["cam"] for one in best]
            if "all_layers" in beside:
                gains["gain_all_layers"] = beside["all_layers"] - beside["cam"]
        return {
            "miou_per_layer": [one.miou for one in best],
            "fp_per_layer": [matrix.false_positive_rate() for matrix in matrices],
            "fn_per_layer": [matrix.false_negative_rate() for matrix in matrices],
            "fp_over_tp_per_layer": [matrix.false_positives_over_true() for matrix in matrices],
            "fn_over_tp_per_layer": [matrix.false_negatives_over_true() for matrix in matrices],
            "background_per_layer": [one.threshold for one in best],
            "best_miou": best[winner].miou,
            "best_layer": winner,
            **{f"miou_{name}": miou for name, miou in beside.items()},
            **gains,
            "images": self.images,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists, for JSON; `from_dict` reads them back."""
        return {
            "layers": [sweep.to_dict() for sweep in self.sweeps],
            "beside": {name: sweep.to_dict() for name, sweep in self.beside.items()},
            "images": self.images,
            "convention": self.convention,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerGain:
        """Rebuild counts from `to_dict`."""
        gain = cls(1, 0, convention=values["convention"])
        gain.sweeps = [ThresholdSweep.from_dict(sweep) for sweep in values["layers"]]
        gain.beside = {name: ThresholdSweep.from_dict(sweep) for name, sweep in values["beside"].items()}
        gain.images = int(values["images"])
        return gain

    def _all(self) -> list[ThresholdSweep]:
        return [*self.sweeps, *(self.beside[name] for name in sorted(self.beside))]


def layer_maps(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: HeatMapSettings,
    device: torch.device,
    block: int | None = None,
) -> Iterator[tuple[Record, tuple[int, ...], LayerMaps]]:
    """Yield (record, class indices, maps) of each image; every view takes one forward pass for all layers.

    Args:
        model, index, records, device, block: as in ``seedbed.explain.dataset_maps.picture_heatmaps``.
        settings: of a method that ``seedbed.explain.by_layer`` knows; each layer's maps are fused over the views as the
            method's own are.
    """
    names: list[str] = []

    def run(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        found = maps_by_layer(model, images, targets, settings.method, **settings.options)
        names[:] = found.beside
        return torch.cat([*(maps[:, None] for maps in found.beside.values()), found.layers], dim=1)

    for item in explained_pictures(model, index, records, settings, device, run, block):
        fused = item.fuse(settings)
        # All layers' maps as if each were a class of its own, only to bring them to the image's size.
        flat = fused.reshape(-1, *fused.shape[-2:])
        heat = HeatMaps(np.arange(len(flat)), flat, item.size)
        maps = at_picture_size(heat).maps.reshape(*fused.shape[:2], *item.size)
        beside = dict(zip(names, maps, strict=False))
        yield item.record, item.classes, LayerMaps(maps[len(names) :], beside)


def count_layers(
    model: nn.Module,
    index: DataIndex,
    records: Sequence[Record],
    settings: HeatMapSettings,
    scoring: ScoringSettings,
    device: torch.device,
    block: int | None = None,
    begun: LayerGain | None = None,
) -> LayerGain:
    """Count each layer's maps of images against their ground truth, over a sweep of background scores.

    ``block`` as in ``seedbed.explain.dataset_maps.picture_heatmaps``; ``begun`` is added to.

    Raises:
        DataError: there are no images, or one has no ground truth.
    """
    grid = [round(k * scoring.sweep_step, 6) for k in range(scoring.sweep_count)]
    gain = begun
    for record, classes, maps in layer_maps(model, index, records, settings, device, block):
        if gain is None:
            gain = LayerGain(len(index.classes) + 1, len(maps.layers), grid, sorted(maps.beside), scoring.miou)
        gain.update(maps, [label + 1 for label in classes], ground_truth(index, record))
    if gain is None:
        raise DataError("There are no images to score.")
    return gain
