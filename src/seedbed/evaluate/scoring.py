"""Scores of a whole split: heat maps as seeds, and masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seedbed.data.images import read_mask
from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError
from seedbed.evaluate.confusion import CONVENTIONS, ConfusionMatrix
from seedbed.evaluate.thresholds import ThresholdSweep
from seedbed.io.heatmaps import HeatMaps
from seedbed.refine.resize import at_picture_size


@dataclass(frozen=True)
class ScoringSettings:
    """How masks are scored.

    Attributes:
        miou: over which classes the mean is taken, see `ConfusionMatrix.miou`.
        sweep_step, sweep_count: background scores of a sweep: 0, step, 2 step, ..., so many.
    """

    miou: Literal["all_classes", "in_truth", "in_either"] = "all_classes"
    sweep_step: float = 0.01
    sweep_count: int = 60


def score_masks(
    index: DataIndex, records: Sequence[Record], masks: Mapping[str, np.ndarray], scoring: ScoringSettings
) -> dict[str, Any]:
    """Compare masks (uint8 [H, W], by image id) with ground truth.

    Returns:
        What `quality` returns, by each convention ``miou_<convention>``, and ``images``.

    Raises:
        DataError: an image has no ground-truth mask, or sizes or labels do not fit.
    """
    return scores_of(confusion(index, records, masks), index, records, scoring)


def confusion(index: DataIndex, records: Sequence[Record], masks: Mapping[str, np.ndarray]) -> ConfusionMatrix:
    """Count masks against ground truth; raises as `score_masks` does."""
    matrix = ConfusionMatrix(len(index.classes) + 1)
    for record in records:
        matrix.update(masks[record.image], ground_truth(index, record), void="miss")
    return matrix


def scores_of(
    matrix: ConfusionMatrix, index: DataIndex, records: Sequence[Record], scoring: ScoringSettings
) -> dict[str, Any]:
    """What `score_masks` returns, of the records' counted masks."""
    means = {f"miou_{convention}": matrix.miou(convention) for convention in CONVENTIONS}
    return {**quality(matrix, index.classes, scoring.miou), **means, "images": len(records)}


def score_heatmaps(
    index: DataIndex,
    records: Sequence[Record],
    heatmaps: Mapping[str, HeatMaps],
    scoring: ScoringSettings,
    *,
    background: float,
    sweep: bool,
) -> dict[str, Any]:
    """Score heat maps as seeds against a constant background.

    Args:
        index, records, heatmaps: the split and its maps, by image id.
        scoring: mIoU convention and grid of the sweep.
        background: the constant that the pipeline uses.
        sweep: whether ``miou`` is that of the best background of the sweep, chosen on these images with their ground
            truth as the papers' seed tables do, instead of the constant's.

    Returns:
        What ``score_masks`` returns, for the chosen background (``miou_<convention>`` at its own best one, where that
        is chosen), and ``background``, ``miou_at_background``,
        ``miou_best``, ``background_best``, ``undefined_maps``, ``curve_background``, ``curve_miou``. Of no images the
        constant alone.
    """
    if not records:
        return {"background": background, "background_best": background, "images": 0}
    grid = sorted({*(round(k * scoring.sweep_step, 6) for k in range(scoring.sweep_count)), background})
    counts = ThresholdSweep(len(index.classes) + 1, grid)
    undefined = 0
    for record in records:
        heat = at_picture_size(heatmaps[record.image])
        undefined += int(np.isnan(heatmaps[record.image].maps).any(axis=(1, 2)).sum())
        counts.update(heat.maps, [int(label) + 1 for label in heat.classes], ground_truth(index, record))
    confusions = counts.confusions()
    curves = {name: np.array([confusion.miou(name) for confusion in confusions]) for name in CONVENTIONS}
    curve = curves[scoring.miou]
    best = int(np.argmax(curve))
    chosen = best if sweep else grid.index(background)
    return {
        **quality(confusions[chosen], index.classes, scoring.miou),
        **{f"miou_{name}": float(means.max() if sweep else means[chosen]) for name, means in curves.items()},
        "background": grid[chosen],
        "miou_at_background": float(curve[grid.index(background)]),
        "miou_best": float(curve[best]),
        "background_best": grid[best],
        "undefined_maps": undefined,
        "curve_background": grid,
        "curve_miou": [float(value) for value in curve],
        "images": len(records),
    }


def ground_truth(index: DataIndex, record: Record) -> np.ndarray:
    """The record's mask, uint8 [H, W].

    Raises:
        DataError: there is none, or it does not fit its image.
    """
    if record.mask is None:
        raise DataError(f"{index.root}: image '{record.image}' has no ground-truth mask, so it cannot be scored.")
    return read_mask(index.root / record.mask, record.size, len(index.classes))


def quality(matrix: ConfusionMatrix, classes: Sequence[str], convention: str) -> dict[str, Any]:
    """Quality of masks from their confusion matrix.

    Args:
        matrix: of the background and ``classes``.
        classes: class names, the background excluded.
        convention: over which classes ``miou`` is the mean; see `seedbed.evaluate.confusion.CONVENTIONS`.

    Returns:
        ``miou``, ``pixel_accuracy``, ``fp``, ``fn`` (over unions, of all classes) as fractions, ``fp_over_tp`` and
        ``fn_over_tp`` (over true positives, of the foreground) as ratios, ``classes_left_out``: how many classes the
        mean of ``miou`` leaves out, ``iou_<class>``: NaN for a class in neither map.
    """
    names = ("background", *classes)
    return {
        "miou": matrix.miou(convention),
        "classes_left_out": int((~matrix.counted(convention)).sum()),
        "pixel_accuracy": matrix.pixel_accuracy(),
        "fp": matrix.false_positive_rate(),
        "fn": matrix.false_negative_rate(),
        "fp_over_tp": matrix.false_positives_over_true(),
        "fn_over_tp": matrix.false_negatives_over_true(),
        **{f"iou_{name}": float(value) for name, value in zip(names, matrix.iou(), strict=True)},
    }
