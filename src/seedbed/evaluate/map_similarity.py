"""How alike heat maps of one image are: similarities of pairs, kept by image and merged from shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from seedbed.errors import DataError
from seedbed.settings.checked import checked

if TYPE_CHECKING:
    from torch import Tensor

SIMILARITIES = ("cosine", "rank_correlation")


class MapSimilarities:
    """Similarities of each image's maps under several conditions, such as levels of noise."""

    def __init__(self) -> None:
        self._scores: dict[int, np.ndarray] = {}  # image -> [conditions, similarities], NaN where no map was defined
        self._undefined = 0

    def fresh(self, numbers: Sequence[int], images: int) -> list[int]:
        """The numbers of a batch, checked.

        Args:
            numbers: one for each image, 0 or more.
            images: how many there are.

        Raises:
            DataError: they are not as many as the images, or one was counted before.
        """
        numbers = [int(number) for number in numbers]
        new = {number for number in numbers if number >= 0} - set(self._scores)
        if not len(numbers) == images == len(new):
            raise DataError(f"Each of {images} images needs a number of its own, 0 or more; they are {numbers}.")
        return numbers

    def add(self, numbers: Sequence[int], found: np.ndarray) -> None:
        """Count a batch.

        Args:
            numbers: as `fresh` has checked them.
            found: [repeats, conditions, B, K, similarities]; NaN where a map is undefined, which is counted. An image
                weighs one, however many repeats and maps it has.
        """
        self._undefined += int(np.isnan(found).any(axis=-1).sum())
        scores = _defined_mean(found, axis=(0, 3))  # [conditions, B, similarities]
        self._scores |= {number: scores[:, position] for position, number in enumerate(numbers)}

    def merge(self, other: MapSimilarities) -> None:
        """Add what another has counted; their images must differ."""
        if both := set(self._scores) & set(other._scores):
            raise DataError(f"Image {min(both)} was counted twice.")
        self._scores |= other._scores
        self._undefined += other._undefined

    def result(self) -> dict[str, Any]:
        """Each similarity's mean over images under each condition, a list, and its deviation (``..._std``).

        Comparisons with a map that is constant, zero or not finite are left out and counted in ``undefined_maps``; a
        condition where nothing is left has None. ``images`` counts images.

        Raises:
            DataError: nothing was counted.
        """
        if not self._scores:
            raise DataError("No image was counted yet, so there is nothing to measure.")
        # Sorted, so that the order of updates does not change a sum.
        scores = np.stack([self._scores[number] for number in sorted(self._scores)])  # [images, conditions, ...]
        means = _defined_mean(scores, axis=0)
        deviations = np.sqrt(_defined_mean((scores - means) ** 2, axis=0))
        result: dict[str, Any] = {}
        for column, name in enumerate(SIMILARITIES):
            result[name] = _or_none(means[:, column])
            result[f"{name}_std"] = _or_none(deviations[:, column])
        return {**result, "images": len(scores), "undefined_maps": self._undefined}

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        scores = {str(number): [_or_none(row) for row in values] for number, values in self._scores.items()}
        return {"scores": scores, "undefined_maps": self._undefined}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from ``to_dict``; other keys are left alone."""
        made = cls()
        made._scores = {int(number): np.array(scores, dtype=float) for number, scores in values["scores"].items()}
        made._undefined = int(values["undefined_maps"])
        return made


def named_numbers(result: Mapping[str, Any], conditions: Sequence[str]) -> dict[str, Any]:
    """One number a condition beside the lists of a result, such as ``cosine_0.1``, for tables."""
    return {
        f"{name}_{condition}": value
        for name in SIMILARITIES
        for condition, value in zip(conditions, result[name], strict=True)
    }


@checked
def similarities(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine and Spearman's rank correlation (ties share their mean rank) of maps [..., n]: [..., 2].

    NaN where undefined: for the cosine a zero map, for the ranks a constant one, for both one that is not finite.
    """
    from scipy.stats import rankdata  # a tenth of the start of every measuring job, and few rank

    if one.shape != other.shape:
        raise DataError(f"Maps of {one.shape} and of {other.shape} cannot be compared.")
    ranks = [rankdata(maps, axis=-1) for maps in (one, other)]
    centred = [rank - rank.mean(axis=-1, keepdims=True) for rank in ranks]
    found = np.stack([_cosine(one, other), _cosine(*centred)], axis=-1)
    found[~(np.isfinite(one) & np.isfinite(other)).all(axis=-1)] = np.nan
    return found


def flat_rows(maps: Tensor) -> np.ndarray:
    """Maps [B, h, w] or [B, K, h, w] as float64 [B, K, h * w]."""
    maps = maps.unsqueeze(1) if maps.ndim == 3 else maps
    return maps.flatten(2).double().cpu().numpy()


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        units = [rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (one, other)]
    return (units[0] * units[1]).sum(axis=-1)


def _defined_mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean of what is not NaN; NaN where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=axis)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _or_none(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
