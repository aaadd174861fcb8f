"""Robustness of heat maps to noise: how similar maps stay while Gaussian noise on the input grows.

eX-ViT claims noise robustness for E-MHA (sections 3.2 and 4.3.1) and measures none. This measurement is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seedbed.data.datasets import sample_seed
from seedbed.errors import DataError, ParameterError
from seedbed.settings.checked import checked

SIMILARITIES = ("cosine", "rank_correlation")


class NoiseRobustness:
    """Similarity of each image's map to the map of the same image with noise.

    An image's noise is drawn once from (seed, repeat, image) and scaled to each level: a curve over the levels
    follows one direction, and two networks that are compared see the same noise.

    Args:
        levels: standard deviations of the noise as fractions of the pixel range 0..1, ascending, above 0.
        repeats: noise draws an image.
        seed: of the noise.

    Raises:
        ParameterError: a level or the number of repeats is out of range.
    """

    @checked
    def __init__(self, levels: Sequence[float] = (0.05, 0.1, 0.2, 0.4), repeats: int = 1, seed: int = 0) -> None:
        self.levels, self.repeats, self.seed = tuple(float(level) for level in levels), repeats, seed
        if not self.levels or self.levels[0] <= 0 or list(self.levels) != sorted(set(self.levels)):
            raise ParameterError(f"levels must be ascending and above 0, not {list(levels)}.")
        if repeats < 1:
            raise ParameterError(f"repeats must be at least 1, not {repeats}.")
        self._scores: dict[int, np.ndarray] = {}  # image -> [levels, similarities], NaN where no map was defined
        self._undefined = 0

    @torch.no_grad()
    @checked
    def update(
        self, explain: Callable[[Tensor], Tensor], images: Tensor, numbers: Sequence[int], std: Sequence[float]
    ) -> None:
        """Measure a batch.

        Args:
            explain: takes images to maps [B, h, w] or [B, K, h, w], of the same classes with and without noise.
            images: float [B, 3, H, W], normalised for the network.
            numbers: a number >= 0 for each image, which seeds its noise; no image may be counted twice.
            std: what the pixel range 0..1 was divided by, for each channel.

        Raises:
            DataError: the numbers are not as many as the images, or one was counted before; or ``std`` is not one
                number above 0 for each channel.
        """
        numbers = [int(number) for number in numbers]
        if images.ndim != 4 or len(std) != images.shape[1] or min(std) <= 0:
            raise DataError(f"Images {tuple(images.shape)} need [B, channels, H, W] and a std above 0 each, not {std}.")
        fresh = {number for number in numbers if number >= 0} - set(self._scores)
        if not len(numbers) == len(images) == len(fresh):
            raise DataError(f"Each of {len(images)} images needs a number of its own, 0 or more; they are {numbers}.")
        clean = _rows(explain(images))
        found = np.full((self.repeats, len(self.levels), *clean.shape[:2], len(SIMILARITIES)), np.nan)
        for repeat in range(self.repeats):
            noise = self._noise(images, numbers, repeat) / images.new_tensor(std).view(-1, 1, 1)
            for position, level in enumerate(self.levels):
                found[repeat, position] = similarities(clean, _rows(explain(images + level * noise)))
        self._undefined += int(np.isnan(found).any(axis=-1).sum())
        scores = _defined_mean(found, axis=(0, 3))  # [levels, B, similarities]
        self._scores |= {number: scores[:, position] for position, number in enumerate(numbers)}

    def merge(self, other: NoiseRobustness) -> None:
        """Add what another accumulator of the same settings has counted; their images must differ."""
        if (other.levels, other.repeats, other.seed) != (self.levels, self.repeats, self.seed):
            raise DataError("Cannot merge noise measurements of different settings.")
        if both := set(self._scores) & set(other._scores):
            raise DataError(f"Image {min(both)} was counted twice.")
        self._scores |= other._scores
        self._undefined += other._undefined

    def result(self) -> dict[str, Any]:
        """Return ``levels``, each similarity's mean over images at each level, and its deviation (``..._std``).

        An image weighs one, however many maps it has. Comparisons with a map that is constant, zero or not finite are
        left out and counted in ``undefined_maps``; a level where nothing is left has None. ``images`` counts images.

        Raises:
            DataError: nothing was counted.
        """
        if not self._scores:
            raise DataError("No image was counted yet, so there is nothing to measure.")
        # Sorted, so that the order of updates does not change a sum.
        scores = np.stack([self._scores[number] for number in sorted(self._scores)])  # [images, levels, similarities]
        means = _defined_mean(scores, axis=0)
        deviations = np.sqrt(_defined_mean((scores - means) ** 2, axis=0))
        result: dict[str, Any] = {"levels": list(self.levels)}
        for column, name in enumerate(SIMILARITIES):
            result[name] = _or_none(means[:, column])
            result[f"{name}_std"] = _or_none(deviations[:, column])
        return {**result, "images": len(scores), "undefined_maps": self._undefined}

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        scores = {str(number): [_or_none(level) for level in values] for number, values in self._scores.items()}
        settings = {"levels": list(self.levels), "repeats": self.repeats, "seed": self.seed}
        return {**settings, "scores": scores, "undefined_maps": self._undefined}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseRobustness:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(values["levels"], int(values["repeats"]), int(values["seed"]))
        made._scores = {int(number): np.array(scores, dtype=float) for number, scores in values["scores"].items()}
        made._undefined = int(values["undefined_maps"])
        return made

    def _noise(self, images: Tensor, numbers: Sequence[int], repeat: int) -> Tensor:
        """Standard normal noise like ``images``; an image's is the same in every batch and on every device."""
        drawn = []
        for number in numbers:
            generator = torch.Generator().manual_seed(sample_seed(self.seed, repeat, number))
            drawn.append(torch.randn(images.shape[1:], generator=generator))
        return torch.stack(drawn).to(images)


@checked
def similarities(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine and Spearman's rank correlation (ties share their mean rank) of maps [..., n]: [..., 2].

    NaN where undefined: for the cosine a zero map, for the ranks a constant one, for both one that is not finite.
    """
    from scipy.stats import rankdata  # a tenth of the start of every measuring job, and only noise ranks

    if one.shape != other.shape:
        raise DataError(f"Maps of {one.shape} and of {other.shape} cannot be compared.")
    ranks = [rankdata(maps, axis=-1) for maps in (one, other)]
    centred = [rank - rank.mean(axis=-1, keepdims=True) for rank in ranks]
    found = np.stack([_cosine(one, other), _cosine(*centred)], axis=-1)
    found[~(np.isfinite(one) & np.isfinite(other)).all(axis=-1)] = np.nan
    return found


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        units = [rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (one, other)]
    return (units[0] * units[1]).sum(axis=-1)


def _rows(maps: Tensor) -> np.ndarray:
    """Maps [B, h, w] or [B, K, h, w] as float64 [B, K, h * w]."""
    maps = maps.unsqueeze(1) if maps.ndim == 3 else maps
    return maps.flatten(2).double().cpu().numpy()


def _defined_mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean of what is not NaN; NaN where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=axis)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _or_none(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
