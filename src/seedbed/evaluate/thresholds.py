"""mIoU of class maps against a constant background, for many background scores at once.

Whether a pixel is background depends only on its largest class value. One histogram an image, over (true label,
strongest class, number of thresholds below that value), therefore holds the confusion matrix of every threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.evaluate.confusion import IGNORE, ConfusionMatrix, check_labels, label_bytes
from seedbed.settings.checked import checked

DEFAULT_THRESHOLDS = tuple(i / 100 for i in range(60))
MIN_GAP = 1e-4


class BestThreshold(NamedTuple):
    """The chosen background score, its mIoU (a fraction) and its position in the sweep."""

    threshold: float
    miou: float
    index: int  # type: ignore[assignment]  # hides tuple.index


class ThresholdSweep:
    """Counts from which the confusion matrix at each of a list of background scores is read off.

    At threshold ``t`` a pixel gets the label of its largest map if that value is above ``t``, else background: the
    argmax over [t, maps], in which background wins ties and, among classes, the lowest label does. Values and
    thresholds are compared in float32, as in the published evaluation, where both stand in one float32 array.

    Args:
        num_classes: number of labels, background included.
        thresholds: background scores in 0..1, ascending by 0.0001 or more; 0.00, 0.01 .. 0.59 by default.
    """

    @checked
    def __init__(self, num_classes: int, thresholds: Sequence[float] = DEFAULT_THRESHOLDS) -> None:
        self.thresholds = tuple(float(t) for t in thresholds)
        framed = np.array([-MIN_GAP, *self.thresholds, 1 + MIN_GAP])
        if not self.thresholds or not (np.diff(framed) > 0.999 * MIN_GAP).all():
            raise ParameterError(f"thresholds must ascend within 0..1 by {MIN_GAP} or more, got {self.thresholds}.")
        self._levels = _Levels(np.array(self.thresholds, dtype=np.float32))
        self.num_classes = ConfusionMatrix(num_classes).num_classes
        # [true label, strongest class, number of thresholds below its value]
        self._counts = np.zeros((num_classes, num_classes, len(self.thresholds) + 1), dtype=np.int64)

    @checked
    def update(self, maps: np.ndarray, labels: Sequence[int], truth: np.ndarray) -> None:
        """Count one image.

        Args:
            maps: ``[K, H, W]`` float16, float32 or float64, the maps of the classes at hand; all others count as 0.
            labels: ``[K]``, the label of each map in the ground truth, 1 .. num_classes - 1, no two alike.
            truth: ``[H, W]`` integer labels; 255 is ignored.

        Raises:
            DataError: shapes differ, a label is out of range or double, a value is not finite.
        """
        checked = self._check(maps, labels, truth)
        true = label_bytes(truth, "ground truth")
        if len(checked) == 0:
            histogram = np.bincount(true, minlength=256)[:, None, None]
            rows = np.array([0])
        else:
            histogram = self._histogram(maps, np.argsort(checked), true)
            rows = np.sort(checked)
        totals = histogram.sum(axis=(1, 2))
        totals[IGNORE] = 0
        check_labels(totals, self.num_classes, "ground truth")
        self._counts[:, rows, : histogram.shape[2]] += histogram[: self.num_classes]

    def merge(self, other: ThresholdSweep) -> None:
        """Add the counts of another sweep over the same classes and thresholds."""
        if other.num_classes != self.num_classes or other.thresholds != self.thresholds:
            raise DataError("Cannot merge sweeps over different classes or thresholds.")
        self._counts += other._counts

    def confusions(self) -> list[ConfusionMatrix]:
        """Return the confusion matrix at every threshold, in their order."""
        # above[..., i] = pixels whose strongest class exceeds threshold i
        above = np.cumsum(self._counts[:, :, :0:-1], axis=2)[:, :, ::-1]
        above[:, 0] = self._counts.sum(axis=(1, 2))[:, None] - above[:, 1:].sum(axis=1)
        return [ConfusionMatrix.from_counts(above[:, :, i]) for i in range(len(self.thresholds))]

    @checked
    def miou_curve(self, convention: str = "all_classes") -> np.ndarray:
        """Return the mIoU at every threshold, float64 in 0..1; conventions as in `ConfusionMatrix.miou`."""
        return np.array([confusion.miou(convention) for confusion in self.confusions()])

    def false_positive_curve(self) -> np.ndarray:
        """Return `ConfusionMatrix.false_positive_rate` at every threshold."""
        return np.array([confusion.false_positive_rate() for confusion in self.confusions()])

    def false_negative_curve(self) -> np.ndarray:
        """Return `ConfusionMatrix.false_negative_rate` at every threshold."""
        return np.array([confusion.false_negative_rate() for confusion in self.confusions()])

    @checked
    def best(self, selection: str = "full_scan", convention: str = "all_classes") -> BestThreshold:
        """Choose the background score with the largest mIoU.

        Args:
            selection: ``full_scan`` looks at all (TransCAM); ``early_stop`` ends at the first threshold that does not
                improve on the best so far (MCTformer), and so can miss the maximum.
            convention: as in `ConfusionMatrix.miou`.
        """
        if selection not in SELECTIONS:
            raise ParameterError(unknown_name("threshold selection", selection, SELECTIONS))
        curve = self.miou_curve(convention)
        index = SELECTIONS[selection](curve)
        return BestThreshold(self.thresholds[index], float(curve[index]), index)

    def to_dict(self) -> dict[str, object]:
        """Return the counts as plain numbers and lists, for JSON; `from_dict` reads them back."""
        return {"num_classes": self.num_classes, "thresholds": list(self.thresholds), "counts": self._counts.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ThresholdSweep:
        """Rebuild a sweep from `to_dict`."""
        sweep = cls(int(values["num_classes"]), values["thresholds"])
        counts = np.asarray(values["counts"], dtype=np.int64)
        if counts.shape != sweep._counts.shape or (counts < 0).any():
            raise DataError(f"Counts of shape {counts.shape} are no sweep of {sweep.num_classes} classes.")
        sweep._counts = counts
        return sweep

    def _histogram(self, maps: np.ndarray, order: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Return ``[256, K, thresholds + 1]`` counts; K in ascending order of the labels."""
        values = maps.astype(np.float32, copy=False).reshape(len(maps), -1)
        peak = values[order[0]]
        winner = np.zeros(peak.shape, dtype=np.uint8)
        for position, row in enumerate(order[1:], start=1):
            # Positions ascend, so the largest that won so far is the latest winner; only a strict win counts.
            winner = np.maximum(winner, (values[row] > peak) * np.uint8(position))
            peak = np.maximum(peak, values[row])
        if not np.isfinite(peak).all():
            raise DataError("Class maps must be finite; they hold NaN or infinity.")
        bins = len(self.thresholds) + 1
        code = (true.astype(np.int32) * len(order) + winner) * bins + self._levels.below(peak)
        return np.bincount(code, minlength=256 * len(order) * bins).reshape(256, len(order), bins)

    def _check(self, maps: np.ndarray, given: Sequence[int], truth: np.ndarray) -> np.ndarray:
        labels = np.asarray(given, dtype=np.int64)
        if maps.ndim != 3 or len(maps) != labels.size or labels.ndim != 1:
            raise DataError(f"Need maps [K, H, W] and K labels, got {maps.shape} and {labels.size} labels.")
        if maps.shape[1:] != np.shape(truth):
            raise DataError(f"Maps of {maps.shape[1:]} and a ground truth of {np.shape(truth)} pixels differ in size.")
        wrong = labels[(labels < 1) | (labels >= self.num_classes)]
        if len(wrong):
            raise DataError(f"Map label {wrong[0]} is outside 1..{self.num_classes - 1}.")
        if len(np.unique(labels)) != len(labels):
            raise DataError(f"Two maps carry the same label: {labels.tolist()}.")
        return labels


class _Levels:
    """Counts how many of the thresholds, float32 ascending, lie below a value; a search without branches.

    The axis is cut into cells half a gap wide, so that each holds one threshold at most: those of earlier cells lie
    below, and one comparison settles the value's own cell. Float rounding is harmless, since it keeps the order.
    """

    @checked
    def __init__(self, levels: np.ndarray) -> None:
        gap = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
        self._scale = np.float32(2 / gap)
        cells = (levels * self._scale).astype(np.int32)
        self._highest = levels[-1]
        self._earlier = cells.searchsorted(np.arange(cells[-1] + 1)).astype(np.int32)
        self._next = np.append(levels, np.float32(np.inf))

    def below(self, values: np.ndarray) -> np.ndarray:
        """Return, for finite float32 values, the int32 number of thresholds strictly below each."""
        cell = (values.clip(0, self._highest) * self._scale).astype(np.int32)
        count = self._earlier[cell]
        return count + (values > self._next[count])


def _full_scan(curve: np.ndarray) -> int:
    return int(curve.argmax())


def _early_stop(curve: np.ndarray) -> int:
    falls = np.flatnonzero(np.diff(curve) <= 0)
    return int(falls[0]) if len(falls) else len(curve) - 1


SELECTIONS: dict[str, Callable[[np.ndarray], int]] = {"full_scan": _full_scan, "early_stop": _early_stop}
