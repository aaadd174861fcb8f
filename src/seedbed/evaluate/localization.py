"""Weakly supervised localisation as the AGCAM paper measures it: boxes around what a heat map lights up.

A map is scaled to [0, 1] and cut at a threshold; the boxes around its connected regions are painted into a mask, and
so are the true boxes; the masks are compared. Images whose class was predicted wrongly are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.evaluate.soft_segmentation import unit_range
from seedbed.settings.checked import checked

WRONG_RULES = ("skip", "score")
METRICS = ("pixel_accuracy", "iou", "dice", "precision", "recall")
EPSILON = 1e-5
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


class BoxLocalization:
    """Accumulates the protocol's scores over images; the order of updates and merges does not change the result.

    Args:
        threshold: a scaled map's pixels above it are lit, in [0, 1); None takes each map's mean.
        as_published: paint predicted boxes one pixel too far right and down, as the published numbers were made; their
            ends are exclusive and are painted as inclusive. False paints them as found.
        wrong: what becomes of an image whose class was predicted wrongly: ``skip`` (as published) or ``score``.
    """

    @checked
    def __init__(
        self, threshold: float | None = 0.5, as_published: bool = True, wrong: Literal["skip", "score"] = "skip"
    ) -> None:
        if threshold is not None and not 0 <= threshold < 1:
            raise ParameterError(f"threshold must lie in [0, 1) or be None, not {threshold}.")
        self.threshold = threshold
        if wrong not in WRONG_RULES:
            raise ParameterError(unknown_name("rule for wrong predictions", wrong, WRONG_RULES))
        self.as_published, self.wrong = as_published, wrong
        self._scores: list[list[float]] = []
        self._skipped = 0
        self._undefined = 0

    @checked
    def update(
        self, heat: np.ndarray, boxes: Sequence[Sequence[int]] | np.ndarray, *, label: int, predicted: int
    ) -> dict[str, float] | None:
        """Score one image.

        Args:
            heat: [H, W] floating, the map of the predicted class at evaluation size, any range. One that holds NaN or
                is constant lights nothing up and is counted as undefined.
            boxes: true boxes (x_min, y_min, x_max, y_max) in the map's pixels, ends inclusive; see ``scale_boxes``.
                Ends may lie one pixel outside, as those of boxes that are counted from 1.
            label, predicted: true and predicted class; if they differ, the image is skipped and counted, unless
                wrong predictions are scored.

        Returns:
            The image's own scores by name, or None if it is skipped.

        Raises:
            DataError: the map is not [H, W], or there is no box, or one is not four ordered numbers or lies outside.
        """
        true = _checked_boxes(boxes)
        if label != predicted and self.wrong == "skip":
            self._skipped += 1
            return None
        scaled = unit_range(heat)
        check_inside(true, np.shape(heat), "map")
        if scaled is None:
            self._undefined += 1
            found = np.zeros((0, 4), np.int64)
        else:
            found = lit_boxes(scaled, self.threshold)
        scores = mask_scores(
            painted(found, np.shape(heat), inclusive=self.as_published), painted(true, np.shape(heat), inclusive=True)
        )
        self._scores.append(scores)
        return dict(zip(METRICS, scores, strict=True))

    def merge(self, other: BoxLocalization) -> None:
        """Add what another accumulator of the same settings has counted."""
        if other._settings() != self._settings():
            raise DataError("Cannot merge localisation scores of different settings.")
        self._scores += other._scores
        self._skipped += other._skipped
        self._undefined += other._undefined

    def result(self) -> dict[str, float]:
        """Return ``METRICS`` as fractions, means over images, with ``images``, ``skipped`` and ``undefined_maps``.

        Raises:
            DataError: no image was scored.
        """
        images = len(self._scores)
        if images == 0:
            raise DataError(f"No image was scored ({self._skipped} were predicted wrongly and skipped).")
        means = [math.fsum(column) / images for column in zip(*self._scores, strict=True)]
        counted = {"images": images, "skipped": self._skipped, "undefined_maps": self._undefined}
        return {**dict(zip(METRICS, means, strict=True)), **counted}

    def to_dict(self) -> dict[str, object]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        return {
            **self._settings(),
            "scores": self._scores,
            "skipped": self._skipped,
            "undefined_maps": self._undefined,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BoxLocalization:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(values["threshold"], bool(values["as_published"]), values["wrong"])
        made._scores = [list(scores) for scores in values["scores"]]
        made._skipped, made._undefined = int(values["skipped"]), int(values["undefined_maps"])
        return made

    def _settings(self) -> dict[str, object]:
        return {"threshold": self.threshold, "as_published": self.as_published, "wrong": self.wrong}


@checked
def lit_boxes(scaled: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return boxes (x_min, y_min, x_end, y_end), ends exclusive, around the regions above a threshold, sorted: [n, 4].

    Regions are connected through edges and corners. One that lies in a hole of another has no box of its own, since
    only outer contours count.

    Args:
        scaled: [H, W] in [0, 1].
        threshold: pixels above it are lit; None takes the map's mean.
    """
    lit = scaled > (scaled.mean(dtype=np.float64) if threshold is None else threshold)
    # Holes are connected through edges alone (the dual of the regions); filling them swallows what lies inside.
    regions, _ = ndimage.label(ndimage.binary_fill_holes(lit), structure=_EIGHT_NEIGHBOURS)
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(regions)]
    return np.array(sorted(boxes), dtype=np.int64).reshape(-1, 4)


def painted(boxes: np.ndarray, shape: tuple[int, int], *, inclusive: bool) -> np.ndarray:
    """Return the union of boxes [n, 4] as a bool mask; ends belong to a box if ``inclusive``."""
    mask = np.zeros(shape, bool)
    for x_min, y_min, x_end, y_end in boxes + np.array([0, 0, inclusive, inclusive]):
        mask[y_min:y_end, x_min:x_end] = True
    return mask


def mask_scores(predicted: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return ``METRICS`` of two bool masks, 1e-5 added above and below each fraction's line."""
    hit, extra = int((predicted & truth).sum()), int((predicted & ~truth).sum())
    missed = int((truth & ~predicted).sum())
    fractions = (
        (predicted.size - extra - missed, predicted.size),
        (hit, hit + extra + missed),
        (2 * hit, 2 * hit + extra + missed),
        (hit, hit + extra),
        (hit, hit + missed),
    )
    return [(above + EPSILON) / (below + EPSILON) for above, below in fractions]


@checked
def scale_boxes(
    boxes: Sequence[Sequence[float]], size: tuple[int, int], to: tuple[int, int] = (224, 224)
) -> np.ndarray:
    """Return boxes of an image of ``size`` (height, width) in pixels of its squashed copy, rounded down: [n, 4].

    Raises:
        DataError: a box is not four numbers, or a size is empty.
    """
    if any(len(box) != 4 for box in boxes) or min(*size, *to) < 1:
        raise DataError(f"Boxes need four numbers each and sizes of 1 and more, got {boxes!r:.60}, {size} and {to}.")
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    widths, scales = np.array(size)[[1, 0, 1, 0]], np.array(to)[[1, 0, 1, 0]]
    return (array / widths * scales).astype(np.int64)


def check_inside(boxes: np.ndarray, shape: tuple[int, ...], kind: str) -> None:
    """Raise DataError where boxes [n, 4] reach more than one pixel beyond ``shape``: they are of another size."""
    height, width = shape
    if len(boxes) and (boxes[:, 2].max() > width or boxes[:, 3].max() > height):
        x, y = boxes[:, 2].max(), boxes[:, 3].max()
        raise DataError(
            f"True boxes reach x = {x} and y = {y}, the {kind} is {height} x {width}: they must be in the {kind}'s "
            "pixels (see scale_boxes)."
        )


def _checked_boxes(boxes: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    try:
        array = np.asarray(boxes)
    except ValueError:  # some box has fewer numbers than another
        array = np.asarray(None)
    if array.ndim != 2 or array.shape[1] != 4 or len(array) == 0 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"True boxes must be integers [n, 4] with n > 0, got {array.dtype} {array.shape}.")
    if (array < 0).any() or (array[:, :2] > array[:, 2:]).any():
        raise DataError(f"True boxes must be (x_min, y_min, x_max, y_max), not negative: {array.tolist()}.")
    return array.astype(np.int64)
