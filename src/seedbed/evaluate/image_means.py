"""Numbers of each image and their mean over images, the same to the last bit however images are cut into shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from seedbed.errors import DataError

Numbers = Mapping[str, float | Sequence[float]]
"""What is measured of an image: by name a number, or a list of them such as one a layer."""


class ImageMeans:
    """Keeps what was measured of each image, so that sums run over images in their order."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    def add(self, image: str, values: Numbers) -> None:
        """Count an image.

        Args:
            image: its name.
            values: its numbers; a name that is absent does not count for this image.

        Raises:
            DataError: it was counted before.
        """
        if image in self._values:
            raise DataError(f"Image '{image}' was counted twice.")
        self._values[image] = dict(values)

    def merge(self, other: ImageMeans) -> None:
        """Add what another has counted; their images must differ."""
        for image, values in other._values.items():
            self.add(image, values)

    def result(self) -> dict[str, Any]:
        """Each name's mean, a number or a list as it was given, and ``images``.

        Raises:
            DataError: nothing was counted, or lists of one name differ in length.
        """
        if not self._values:
            raise DataError("No image was counted yet, so there is nothing to measure.")
        ordered = [self._values[image] for image in sorted(self._values)]
        names = dict.fromkeys(name for values in ordered for name in values)
        means = {name: _mean(name, [values[name] for values in ordered if name in values]) for name in names}
        return {**means, "images": len(ordered)}

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted as plain values, for JSON; ``from_dict`` reads it back."""
        return {"values": self._values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from ``to_dict``."""
        made = cls()
        made._values = {image: dict(numbers) for image, numbers in values["values"].items()}
        return made


def _mean(name: str, found: Sequence[float | Sequence[float]]) -> Any:
    if len({np.shape(one) for one in found}) > 1:
        raise DataError(f"'{name}' has another length on some images, so that there is no mean.")
    return np.asarray(found, dtype=np.float64).mean(axis=0).tolist()
