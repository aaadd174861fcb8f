"""What `seedbed.evaluate.attention_concentration` measures, over images; shards merge without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seedbed.errors import DataError

MEASURES = ("diagonal", "gini", "object")


class ConcentrationStatistics:
    """Means over images, layer by layer."""

    def __init__(self) -> None:
        self.totals: dict[str, list[float]] = {}
        self.area = 0.0
        self.images = 0
        self.with_object = 0

    def update(
        self, *, diagonal: Sequence[float], gini: Sequence[float], on_object: Sequence[float] | None, area: float
    ) -> None:
        """Count one image.

        Args:
            diagonal, gini, on_object: a number for each layer, as `diagonal_share`, `column_gini` and `object_mass` of
                ``seedbed.evaluate.attention_concentration`` give it; ``on_object`` is None without any object.
            area: the object's share of the image, 0..1.
        """
        self._add("diagonal", diagonal)
        self._add("gini", gini)
        self.images += 1
        if on_object is not None:
            self._add("object", on_object)
            self.area += area
            self.with_object += 1

    def merge(self, other: ConcentrationStatistics) -> None:
        """Add the counts of another, over the same layers."""
        for name, totals in other.totals.items():
            self._add(name, totals)
        self.area += other.area
        self.images += other.images
        self.with_object += other.with_object

    def result(self) -> dict[str, Any]:
        """Fractions.

        Returns:
            For each of ``diagonal``, ``gini`` and ``object``: ``<name>_per_layer`` (a list), ``<name>_shallow`` and
            ``<name>_deep`` (means over the first and the last half of the layers; a middle one is in both);
            ``object_area``: share of the pixels that are object, which even attention would give it; ``images`` and
            ``images_with_object``.

        Raises:
            DataError: there are no images, or none has an object.
        """
        if not self.with_object:
            raise DataError("There are no images with an object to measure the attention on.")
        found: dict[str, Any] = {}
        for name in MEASURES:
            count = self.with_object if name == "object" else self.images
            layers = [total / count for total in self.totals[name]]
            half = (len(layers) + 1) // 2
            found |= {f"{name}_per_layer": layers}
            found |= {f"{name}_shallow": sum(layers[:half]) / half, f"{name}_deep": sum(layers[-half:]) / half}
        area = self.area / self.with_object
        return {**found, "object_area": area, "images": self.images, "images_with_object": self.with_object}

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists, for JSON; `from_dict` reads them back."""
        counts = {"area": self.area, "images": self.images, "with_object": self.with_object}
        return {"totals": {name: list(totals) for name, totals in self.totals.items()}, **counts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConcentrationStatistics:
        """Rebuild counts from `to_dict`."""
        statistics = cls()
        statistics.totals = {name: list(totals) for name, totals in values["totals"].items()}
        statistics.area, statistics.images = float(values["area"]), int(values["images"])
        statistics.with_object = int(values["with_object"])
        return statistics

    def _add(self, name: str, layers: Sequence[float]) -> None:
        before = self.totals.get(name, [0.0] * len(layers))
        if len(before) != len(layers):
            raise DataError(f"Cannot add the attention of {len(layers)} layers to that of {len(before)}.")
        self.totals[name] = [total + more for total, more in zip(before, layers, strict=True)]
