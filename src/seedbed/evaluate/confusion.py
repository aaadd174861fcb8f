"""Segmentation quality from a confusion matrix: mean intersection over union and its companions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.settings.checked import checked

IGNORE = 255
MAX_CLASSES = 255

# How a mean over classes treats classes without pixels; the papers' evaluation codes differ in this.
CONVENTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    # A class in neither map counts as 0 (the seeds' authors: MCTformer, TransCAM, SEAM).
    "all_classes": lambda in_truth, in_either: np.ones_like(in_truth),
    # Only classes that occur in the ground truth (AFA, [Re]).
    "in_truth": lambda in_truth, in_either: in_truth,
    # Only classes that occur in either map (MCTformer's segmentation network, a "nanmean").
    "in_either": lambda in_truth, in_either: in_either,
}

VOID_RULES = ("error", "drop", "miss")


class ConfusionMatrix:
    """Pixel counts by true and predicted label, summed over images in int64.

    Label 0 is background where there is one; 255 in the ground truth is ignored. Metrics are fractions in 0..1; they
    raise DataError as long as no labelled pixel was counted.

    Args:
        num_classes: number of labels, background included; at most 255.
    """

    @checked
    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= MAX_CLASSES:
            raise ParameterError(f"num_classes must lie in 1..{MAX_CLASSES}, got {num_classes}.")
        self.num_classes = num_classes
        # One more column than classes: pixels whose prediction is void.
        self._counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)

    @property
    def counts(self) -> np.ndarray:
        """``[num_classes, num_classes]`` int64, true label by predicted label; void predictions are not in it."""
        return self._counts[:, : self.num_classes]

    @checked
    def update(self, prediction: np.ndarray, truth: np.ndarray, *, void: str = "error") -> None:
        """Count one image.

        Args:
            prediction: integer labels of any shape, 0 .. num_classes - 1, and 255 if ``void`` allows it.
            truth: integer labels of the same shape; 255 is ignored.
            void: what a prediction of 255 means. ``error``: a mistake in the data; ``drop``: leave the pixel out (AFA's
                score of pseudo labels); ``miss``: the pixel's class is missed (the seeds' authors).

        Raises:
            DataError: shapes differ, or a label is out of range; nothing is counted then.
        """
        if void not in VOID_RULES:
            raise ParameterError(unknown_name("void rule", void, VOID_RULES))
        if np.shape(prediction) != np.shape(truth):
            raise DataError(f"Prediction {np.shape(prediction)} and ground truth {np.shape(truth)} differ in shape.")
        predicted, true = label_bytes(prediction, "prediction"), label_bytes(truth, "ground truth")
        # Both labels in one 16-bit number: range checks then look at 65,536 counts instead of at every pixel.
        table = np.bincount(true.astype(np.uint16) << 8 | predicted, minlength=1 << 16).reshape(256, 256)
        table[IGNORE] = 0
        if void == "drop":
            table[:, IGNORE] = 0
        allowed = self.num_classes
        check_labels(table.sum(axis=1), allowed, "ground truth")
        check_labels(table.sum(axis=0), allowed, "prediction", void_allowed=void != "error")
        self._counts[:, :allowed] += table[:allowed, :allowed]
        self._counts[:, allowed] += table[:allowed, IGNORE]

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix of the same classes."""
        if other.num_classes != self.num_classes:
            raise DataError(f"Cannot merge counts of {other.num_classes} and of {self.num_classes} classes.")
        self._counts += other._counts

    def of_background(self) -> ConfusionMatrix:
        """What masks of background alone would have been counted as, on the same images."""
        made = ConfusionMatrix(self.num_classes)
        made._counts[:, 0] = self._counts.sum(axis=1)
        return made

    def iou(self) -> np.ndarray:
        """Intersection over union of every class, ``[num_classes]`` float64; NaN for a class in neither map."""
        return self._over_union(self._intersection())

    @checked
    def miou(self, convention: str = "all_classes") -> float:
        """Mean IoU over the classes a convention names.

        Args:
            convention: ``all_classes`` (a class in neither map counts 0), ``in_truth`` (classes in the ground truth) or
                ``in_either`` (classes in either map).
        """
        return float(np.nan_to_num(self.iou())[self.counted(convention)].mean())

    @checked
    def counted(self, convention: str = "all_classes") -> np.ndarray:
        """Which classes `miou` is the mean over, ``[num_classes]`` bool."""
        if convention not in CONVENTIONS:
            raise ParameterError(unknown_name("mIoU convention", convention, CONVENTIONS))
        return CONVENTIONS[convention](self._counts.sum(axis=1) > 0, ~np.isnan(self.iou()))

    def false_positive_rate(self) -> float:
        """Mean over all classes of the pixels wrongly given to a class, over its union; 0 for one in neither map."""
        predicted = self.counts.sum(axis=0)
        return float(np.nan_to_num(self._over_union(predicted - self._intersection())).mean())

    def false_negative_rate(self) -> float:
        """Mean over all classes of the pixels missed of a class, over its union; 0 for one in neither map."""
        true = self._counts.sum(axis=1)
        return float(np.nan_to_num(self._over_union(true - self._intersection())).mean())

    def false_positives_over_true(self) -> float | None:
        """SEAM's FP: pixels wrongly given to a class over those rightly given, mean over the foreground classes.

        Labels from 1 up count. One without a rightly given pixel has no such ratio and is left out; None if all are.
        """
        return self._over_true_positives(self.counts.sum(axis=0))

    def false_negatives_over_true(self) -> float | None:
        """SEAM's FN: missed pixels of a class over those found, taken as `false_positives_over_true` is."""
        return self._over_true_positives(self._counts.sum(axis=1))

    def true_pixels(self) -> np.ndarray:
        """Pixels of each class in the ground truth, ``[num_classes]`` int64, those predicted void among them."""
        return self._counts.sum(axis=1)

    def labelled(self) -> int:
        """Labelled pixels that were counted."""
        return int(self._counts.sum())

    def void(self) -> int:
        """Labelled pixels whose prediction was void."""
        return int(self._counts[:, -1].sum())

    def pixel_accuracy(self) -> float:
        """Share of labelled pixels that are right."""
        return float(self._intersection().sum() / self._total())

    def to_dict(self) -> dict[str, object]:
        """Return the counts as plain numbers and lists, for JSON; `from_dict` reads them back."""
        return {"num_classes": self.num_classes, "counts": self._counts.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConfusionMatrix:
        """Rebuild a matrix from `to_dict`."""
        matrix = cls(int(values["num_classes"]))
        counts = np.asarray(values["counts"], dtype=np.int64)
        if counts.shape != matrix._counts.shape or (counts < 0).any():
            raise DataError(f"Counts of shape {counts.shape} are no confusion of {matrix.num_classes} classes.")
        matrix._counts = counts
        return matrix

    @classmethod
    def from_counts(cls, counts: np.ndarray) -> ConfusionMatrix:
        """Wrap ``[C, C]`` counts, true label by predicted label."""
        matrix = cls(len(counts))
        matrix._counts[:, :-1] = counts
        return matrix

    def _intersection(self) -> np.ndarray:
        return np.diagonal(self._counts)

    def _over_true_positives(self, pixels: np.ndarray) -> float | None:
        self._total()
        found = self._intersection()[1:]
        wrong = pixels[1:] - found
        return float((wrong[found > 0] / found[found > 0]).mean()) if found.any() else None

    def _over_union(self, pixels: np.ndarray) -> np.ndarray:
        self._total()
        union = self._counts.sum(axis=1) + self.counts.sum(axis=0) - self._intersection()
        return np.divide(pixels, union, out=np.full(self.num_classes, np.nan), where=union > 0)

    def _total(self) -> int:
        total = int(self._counts.sum())
        if total == 0:
            raise DataError("No labelled pixel was counted yet, so there is nothing to measure.")
        return total


def label_bytes(labels: np.ndarray, kind: str) -> np.ndarray:
    """Return integer labels as flat uint8; anything that is not 0..255 is a DataError naming the value."""
    labels = np.asarray(labels)
    if labels.dtype != np.uint8:
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"Labels of the {kind} must be integers, got {labels.dtype}.")
        if labels.size:
            for value in (labels.min(), labels.max()):
                if not 0 <= value <= IGNORE:
                    raise DataError(f"Label {value} in the {kind} is outside 0..{IGNORE}.")
        labels = labels.astype(np.uint8)
    return labels.reshape(-1)


def check_labels(histogram: np.ndarray, num_classes: int, kind: str, *, void_allowed: bool = False) -> None:
    """Raise DataError for the first label from ``num_classes`` up with a count in ``histogram`` ``[256]``."""
    wrong = np.flatnonzero(histogram[num_classes:]) + num_classes
    if void_allowed:
        wrong = wrong[wrong != IGNORE]
    if len(wrong):
        raise DataError(f"Label {wrong[0]} in the {kind} is outside 0..{num_classes - 1}.")
