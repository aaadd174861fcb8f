"""Stored dense CRF posteriors as maps to look at: confident foreground, confident background ([Re], figure 1)."""

from collections.abc import Iterator, Mapping

import numpy as np

from seedbed.io.heatmaps import BACKGROUND, HeatMaps


class ConfidentForeground(Mapping[str, HeatMaps]):
    """Posteriors of each image's classes, from the run whose background claims much.

    Args:
        posteriors: maps [K + 1, H, W] by image id, the background's among them.
    """

    def __init__(self, posteriors: Mapping[str, HeatMaps]) -> None:
        self.posteriors = posteriors

    def __getitem__(self, image: str) -> HeatMaps:
        found = self.posteriors[image]
        own = found.classes != BACKGROUND
        return found._replace(classes=found.classes[own], maps=found.maps[own])

    def __iter__(self) -> Iterator[str]:
        return iter(self.posteriors)

    def __len__(self) -> int:
        return len(self.posteriors)


class ConfidentBackground(ConfidentForeground):
    """The background's posterior, once for each of an image's classes, from the run whose background claims little."""

    def __getitem__(self, image: str) -> HeatMaps:
        found = self.posteriors[image]
        own = found.classes != BACKGROUND
        background = found.maps[~own]
        return found._replace(classes=found.classes[own], maps=np.repeat(background, int(own.sum()), axis=0))
