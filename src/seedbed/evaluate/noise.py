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
from seedbed.evaluate.map_similarity import SIMILARITIES, MapSimilarities, flat_rows, similarities
from seedbed.settings.checked import checked


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
        self._found = MapSimilarities()

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
        if images.ndim != 4 or len(std) != images.shape[1] or min(std) <= 0:
            raise DataError(f"Images {tuple(images.shape)} need [B, channels, H, W] and a std above 0 each, not {std}.")
        numbers = self._found.fresh(numbers, len(images))
        clean = flat_rows(explain(images))
        found = np.full((self.repeats, len(self.levels), *clean.shape[:2], len(SIMILARITIES)), np.nan)
        for repeat in range(self.repeats):
            noise = self._noise(images, numbers, repeat) / images.new_tensor(std).view(-1, 1, 1)
            for position, level in enumerate(self.levels):
                found[repeat, position] = similarities(clean, flat_rows(explain(images + level * noise)))
        self._found.add(numbers, found)

    def merge(self, other: NoiseRobustness) -> None:
        """Add what another accumulator of the same settings has counted; their images must differ."""
        if (other.levels, other.repeats, other.seed) != (self.levels, self.repeats, self.seed):
            raise DataError("Cannot merge noise measurements of different settings.")
        self._found.merge(other._found)

    def result(self) -> dict[str, Any]:
        """Return ``levels``, and at each what `MapSimilarities.result` says.

        Raises:
            DataError: nothing was counted.
        """
        return {"levels": list(self.levels), **self._found.result()}

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        settings = {"levels": list(self.levels), "repeats": self.repeats, "seed": self.seed}
        return {**settings, **self._found.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseRobustness:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(values["levels"], int(values["repeats"]), int(values["seed"]))
        made._found = MapSimilarities.from_dict(values)
        return made

    def _noise(self, images: Tensor, numbers: Sequence[int], repeat: int) -> Tensor:
        """Standard normal noise like ``images``; an image's is the same in every batch and on every device."""
        drawn = []
        for number in numbers:
            generator = torch.Generator().manual_seed(sample_seed(self.seed, repeat, number))
            drawn.append(torch.randn(images.shape[1:], generator=generator))
        return torch.stack(drawn).to(images)
