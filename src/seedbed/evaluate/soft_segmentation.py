"""Heat maps as soft segmentations: the ImageNet-Segmentation protocol of Chefer et al. (CVPR 2021) and of [Re].

Each map is scaled to [0, 1] by its own extremes and cut at its own mean; pixels above it are foreground. Pixel
accuracy and IoU come from counts summed over the data set; average precision and F1 are means over images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.settings.checked import checked

IGNORE = -1

# What becomes of a map that holds NaN or one value only, whose scaled form is 0/0.
UNDEFINED_RULES = {
    "background": "all background, both classes scored 0 everywhere: an average precision of 0.5 (as published)",
    "skip": "left out of every measure, and counted",
}


class SoftSegmentation:
    """Accumulates the protocol's measures over images; the order of updates and merges does not change the result.

    Args:
        undefined: ``background`` (as published) or ``skip``, for maps that hold NaN or are constant. Both count them.
    """

    @checked
    def __init__(self, undefined: Literal["background", "skip"] = "background") -> None:
        if undefined not in UNDEFINED_RULES:
            raise ParameterError(unknown_name("rule for undefined maps", undefined, UNDEFINED_RULES))
        self.undefined = undefined
        self._counts = np.zeros((2, 2), dtype=np.int64)  # true class, predicted class
        self._precisions: list[float] = []
        self._row_f1: list[float] = []
        self._undefined = 0

    @checked
    def update(self, heat: np.ndarray, truth: np.ndarray) -> dict[str, float] | None:
        """Count one image.

        Args:
            heat: [H, W] floating, the map of the class that is explained, at the mask's resolution; any range. Compared
                in float32, as published.
            truth: [H, W] integer: 0 background, 1 foreground, -1 ignored.

        Returns:
            The image's own ``correct`` and ``labeled`` pixels, ``average_precision`` and ``f1_rows``; None if
            skipped.

        Raises:
            DataError: shapes differ, a label is none of -1, 0, 1, or no pixel is labelled; nothing is counted then.
        """
        truth = _checked(heat, truth)
        scaled = unit_range(heat)
        if scaled is None:
            self._undefined += 1
            if self.undefined == "skip":
                return None
            predicted, scores = np.zeros(truth.shape, bool), np.zeros((2, *truth.shape), np.float32)
        else:
            predicted, scores = scaled > scaled.mean(dtype=np.float64), np.stack((1 - scaled, scaled))
        valid = truth != IGNORE
        counts = np.bincount(2 * truth[valid] + predicted[valid], minlength=4).reshape(2, 2)
        labels = np.stack((truth == 0, truth == 1))
        precision = average_precision(scores[:, valid].ravel(), labels[:, valid].ravel())
        row_f1 = float(f1_of_rows(predicted & valid, truth == 1).mean())
        self._counts += counts
        self._precisions.append(precision)
        self._row_f1.append(row_f1)
        return {
            "correct": int(np.trace(counts)),
            "labeled": int(counts.sum()),
            "average_precision": precision,
            "f1_rows": row_f1,
        }

    def merge(self, other: SoftSegmentation) -> None:
        """Add what another accumulator of the same rule has counted."""
        if other.undefined != self.undefined:
            raise DataError(f"Cannot merge counts with undefined maps '{other.undefined}' and '{self.undefined}'.")
        self._counts += other._counts
        self._precisions += other._precisions
        self._row_f1 += other._row_f1
        self._undefined += other._undefined

    def result(self) -> dict[str, float]:
        """Return the measures as fractions.

        ``pixel_accuracy``, ``iou_background``, ``iou_foreground``, ``miou`` and ``f1`` (the foreground's, of the summed
        counts); ``map``, the mean over images of the average precision of both classes together; ``f1_rows``, what
        the published code calls F1: that of each row of pixels (0 for a row without foreground), mean over rows and
        images; ``images``, those counted, and ``undefined_maps``.

        Raises:
            DataError: nothing was counted yet.
        """
        images = len(self._precisions)
        if images == 0:
            raise DataError("No image was counted yet, so there is nothing to measure.")
        hits = np.diagonal(self._counts)
        union = self._counts.sum(0) + self._counts.sum(1) - hits
        iou = hits / (union + np.spacing(1.0))
        sizes = self._counts[1].sum() + self._counts[:, 1].sum()
        return {
            "pixel_accuracy": float(hits.sum() / self._counts.sum()),
            "iou_background": float(iou[0]),
            "iou_foreground": float(iou[1]),
            "miou": float(iou.mean()),
            "map": math.fsum(self._precisions) / images,
            "f1": float(2 * hits[1] / (sizes + np.spacing(1.0))),
            "f1_rows": math.fsum(self._row_f1) / images,
            "images": images,
            "undefined_maps": self._undefined,
        }

    def to_dict(self) -> dict[str, object]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        return {
            "undefined": self.undefined,
            "counts": self._counts.tolist(),
            "precisions": self._precisions,
            "row_f1": self._row_f1,
            "undefined_maps": self._undefined,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SoftSegmentation:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(values["undefined"])
        made._counts = np.asarray(values["counts"], dtype=np.int64)
        made._precisions, made._row_f1 = list(values["precisions"]), list(values["row_f1"])
        made._undefined = int(values["undefined_maps"])
        return made


@checked
def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the precision-recall curve as a step function, tied scores taken together.

    Args:
        scores: [n] floating, without NaN.
        labels: [n] bool, at least one true.
    """
    precision, recall, _ = precision_recall(scores, labels)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


@checked
def precision_recall(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision and recall [t] of ``scores >= threshold``, and the t distinct scores, from the largest down.

    Args:
        scores: [n] floating, without NaN.
        labels: [n] bool, at least one true.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(labels[order])[last_of_tie]
    return hits / (last_of_tie + 1), hits / hits[-1], ordered[last_of_tie]


@checked
def f1_of_rows(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the F1 score [H] of each row of two bool masks [H, W]; 0 where neither mask has a pixel."""
    sizes = predicted.sum(1) + truth.sum(1)
    return 2 * (predicted & truth).sum(1) / np.maximum(sizes, 1)


@checked
def unit_range(heat: np.ndarray) -> np.ndarray | None:
    """Return a map scaled to [0, 1] by its extremes, in float32; None where that is 0/0 (a NaN, or one value only).

    Raises:
        DataError: the map is not [H, W] or holds infinite values.
    """
    heat = np.asarray(heat, dtype=np.float32)
    if heat.ndim != 2 or not heat.size:
        raise DataError(f"A heat map must be [H, W] with a pixel at least, got {heat.shape}.")
    low, high = heat.min(), heat.max()
    if not low < high:  # also if either is NaN
        return None
    if not np.isfinite(high - low):
        raise DataError("A heat map holds infinite values.")
    return (heat - low) / (high - low)


def _checked(heat: np.ndarray, truth: np.ndarray) -> np.ndarray:
    truth = np.asarray(truth)
    if np.ndim(heat) != 2 or np.shape(heat) != truth.shape:
        raise DataError(f"The heat map {np.shape(heat)} and the mask {truth.shape} must be [H, W] and of one size.")
    if not np.issubdtype(truth.dtype, np.integer) and truth.dtype != np.bool_:
        raise DataError(f"Masks must hold integers, got {truth.dtype}.")
    wrong = truth[(truth != 0) & (truth != 1) & (truth != IGNORE)] if truth.dtype != np.bool_ else truth[:0]
    if wrong.size:
        raise DataError(f"Label {wrong.flat[0]} in the mask is none of -1 (ignored), 0, 1.")
    truth = truth.astype(np.int64)
    if (truth == IGNORE).all():
        raise DataError("The mask has no labelled pixel.")
    return truth
