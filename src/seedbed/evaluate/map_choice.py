"""How good a classifier's maps are against ground truth, by which an epoch is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from seedbed.data.index import DataIndex
from seedbed.data.views import InputView
from seedbed.errors import DataError
from seedbed.evaluate.scoring import ground_truth
from seedbed.evaluate.thresholds import ThresholdSweep
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.explain.heatmap_settings import HeatMapSettings
from seedbed.io.plain import from_plain
from seedbed.train.best_epoch import Score, epoch_choice


@dataclass(frozen=True, kw_only=True)
class MapChoice:
    """Which maps are compared with ground truth, on which images.

    Attributes:
        method, options, fusion, flip, size, interpolation, batch_size: of the maps, of one scale; see
            `HeatMapSettings`.
        split: whose ground truth is looked at.
        images: of the split, the first ones; None for all.
        backgrounds: lowest and highest constant background that is tried, in steps of 0.01.
        search: ``early_stop`` ends at the first background that does not raise the mIoU, as published; ``full_scan``
            tries all.
    """

    method: str
    fusion: str
    options: Mapping[str, Any] = field(default_factory=dict)
    flip: bool = True
    size: tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    batch_size: int = 16
    split: str = "train"
    images: int | None = None
    backgrounds: tuple[float, float] = (0.40, 0.59)
    search: Literal["early_stop", "full_scan"] = "early_stop"

    def thresholds(self) -> list[float]:
        """The backgrounds, ascending."""
        low, high = (round(100 * bound) for bound in self.backgrounds)
        return [level / 100 for level in range(low, high + 1)]


@epoch_choice("maps")
def by_maps(index: DataIndex, values: Mapping[str, Any], normalize: str, device: torch.device) -> Score:
    """Score networks by `map_quality`."""
    return partial(map_quality, index=index, choice=from_plain(MapChoice, values), normalize=normalize, device=device)


def map_quality(model: nn.Module, index: DataIndex, choice: MapChoice, normalize: str, device: torch.device) -> float:
    """Best mIoU of a network's maps, over the classes in either map, a fraction.

    Raises:
        DataError: the split has no image, or one without ground truth.
    """
    records = index.split(choice.split)[: choice.images]
    if not records:
        raise DataError(f"keep: split '{choice.split}' of {index.root} has no image to choose an epoch by.")
    settings = HeatMapSettings(
        method=choice.method,
        options=choice.options,
        input=InputView(normalize, choice.size, choice.interpolation),
        fusion=choice.fusion,
        flip=choice.flip,
        batch_size=choice.batch_size,
    )
    sweep = ThresholdSweep(len(index.classes) + 1, choice.thresholds())
    maps = picture_heatmaps(model, index, records, settings, device)
    for record, (_, heat) in zip(records, maps, strict=True):
        sweep.update(heat.maps, (heat.classes + 1).tolist(), ground_truth(index, record))
    return sweep.best(choice.search, "in_either").miou
