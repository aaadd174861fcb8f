"""Equivariance of heat maps: whether the map of a changed image is the changed map of the image.

eX-ViT claims explanations that are more robust than post-hoc methods' across transformations of the data (sections 1
and 2.2) and measures none. This measurement is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seedbed.data.datasets import sample_seed
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.image_changes import Change, coloured, mirrored, scaled, shifted
from seedbed.evaluate.map_similarity import SIMILARITIES, MapSimilarities, flat_rows, similarities
from seedbed.settings.checked import checked

_SHIFT, _COLOUR = 0, 1  # what an image draws, each from a generator of its own


class Equivariance:
    """Similarity of each image's map to that of the changed image, brought back to the image's frame.

    Compared is what both show, at the images' size. Directions and colours are drawn once an image, from the seed and
    the image alone, and scaled to each amount: all networks and methods see the same changes.

    Args:
        flip: mirror left to right.
        scales: factors about the middle, above 0, not 1.
        shifts: shares of both sides, above 0 and below 1, by which an image moves in one of the four diagonal
            directions.
        colours: strengths above 0, at most 1: brightness, contrast and saturation are each multiplied by 1 plus or
            minus up to so much.
        seed: of directions and colours.

    Raises:
        ParameterError: an amount is out of range or comes twice, or nothing is changed.
    """

    @checked
    def __init__(
        self,
        flip: bool = True,
        scales: Sequence[float] = (0.75, 1.25),
        shifts: Sequence[float] = (0.125,),
        colours: Sequence[float] = (0.4,),
        seed: int = 0,
    ) -> None:
        amounts = {"scales": scales, "shifts": shifts, "colours": colours}
        for name, given in amounts.items():
            _check_amounts(name, given)
        self.flip, self.seed = flip, seed
        self.scales, self.shifts, self.colours = (tuple(map(float, given)) for given in amounts.values())
        if not self.changes:
            raise ParameterError("Nothing is changed: set flip, or give scales, shifts or colours.")
        self._found = MapSimilarities()

    @property
    def changes(self) -> tuple[str, ...]:
        """Name of each change, such as ``scale_0.75``."""
        several = {"scale": self.scales, "shift": self.shifts, "colour": self.colours}
        named = (f"{kind}_{amount:g}" for kind, amounts in several.items() for amount in amounts)
        return (*(("flip",) if self.flip else ()), *named)

    @torch.no_grad()
    @checked
    def update(self, explain: Callable[[Tensor], Tensor], images: Tensor, numbers: Sequence[int]) -> None:
        """Measure a batch.

        Args:
            explain: takes images to maps at their size, [B, H, W] or [B, K, H, W], of the same classes whatever the
                change.
            images: float [B, 3, H, W] in 0..1.
            numbers: a number >= 0 for each image, which seeds its changes; no image may be counted twice.

        Raises:
            DataError: the numbers are not as many as the images, or one was counted before; or images or maps are of
                another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise DataError(f"Images must be [B, 3, H, W], not {tuple(images.shape)}.")
        numbers = self._found.fresh(numbers, len(images))
        size = (int(images.shape[-2]), int(images.shape[-1]))
        drawn = [self._drawn(number, size) for number in numbers]
        clean = _maps(explain, images)
        found = np.full((1, len(self.changes), *clean.shape[:2], len(SIMILARITIES)), np.nan)
        for position in range(len(self.changes)):
            own = [each[position] for each in drawn]
            seen = torch.stack([change.image(image) for change, image in zip(own, images, strict=True)])
            for place, (change, one, other) in enumerate(zip(own, clean, _maps(explain, seen), strict=True)):
                pair = one[:, change.region[0], change.region[1]], change.back(other)
                found[0, position, place] = similarities(*(flat_rows(maps[None])[0] for maps in pair))
        self._found.add(numbers, found)

    def merge(self, other: Equivariance) -> None:
        """Add what another accumulator of the same settings has counted; their images must differ."""
        if other._settings() != self._settings():
            raise DataError("Cannot merge measurements of different changes.")
        self._found.merge(other._found)

    def result(self) -> dict[str, Any]:
        """Return ``changes``, their names, and under each what `MapSimilarities.result` says.

        Raises:
            DataError: nothing was counted.
        """
        return {"changes": list(self.changes), **self._found.result()}

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain numbers and lists, for JSON; ``from_dict`` reads it back."""
        return {"changes": list(self.changes), **self._settings(), **self._found.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Equivariance:
        """Rebuild an accumulator from ``to_dict``."""
        made = cls(*(values[name] for name in ("flip", "scales", "shifts", "colours", "seed")))
        made._found = MapSimilarities.from_dict(values)
        return made

    def _settings(self) -> dict[str, Any]:
        lists = {"scales": list(self.scales), "shifts": list(self.shifts), "colours": list(self.colours)}
        return {"flip": self.flip, **lists, "seed": self.seed}

    def _drawn(self, number: int, size: tuple[int, int]) -> list[Change]:
        """The changes of one image of size (H, W), in the order of ``changes``."""
        down, right = (torch.randint(0, 2, (2,), generator=self._generator(_SHIFT, number)) * 2 - 1).tolist()
        jitter = (torch.rand(3, generator=self._generator(_COLOUR, number)) * 2 - 1).tolist()
        moved = [(round(share * size[0]), round(share * size[1])) for share in self.shifts]
        return [
            *([mirrored()] if self.flip else []),
            *(scaled(factor, size) for factor in self.scales),
            *(shifted(down * rows, right * columns, size) for rows, columns in moved),
            *(coloured(*(1 + strength * part for part in jitter)) for strength in self.colours),
        ]

    def _generator(self, kind: int, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(sample_seed(self.seed, kind, number))


def _check_amounts(name: str, given: Sequence[float]) -> None:
    fits = {
        "scales": ("above 0 and not 1", lambda value: value > 0 and value != 1),
        "shifts": ("above 0 and below 1", lambda value: 0 < value < 1),
        "colours": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    }
    words, fit = fits[name]
    if len(set(given)) < len(given) or not all(map(fit, given)):
        raise ParameterError(f"{name} must be {words}, each once, not {list(given)}.")


def _maps(explain: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Maps [B, K, H, W] of images."""
    maps = explain(images)
    maps = maps.unsqueeze(1) if maps.ndim == 3 else maps
    if maps.shape[0] != images.shape[0] or maps.shape[2:] != images.shape[2:]:
        raise DataError(f"Maps {tuple(maps.shape)} are not at the size of the images {tuple(images.shape)}.")
    return maps
