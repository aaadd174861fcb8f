"""From maps to hard labels, smoothed by a dense CRF."""

from dataclasses import dataclass

import numpy as np

from seedbed.io.heatmaps import HeatMaps
from seedbed.refine.crf_labels import label_crf
from seedbed.refine.mask_making import argmax_refiner
from seedbed.settings.dense_crf import CrfSettings


@dataclass(frozen=True)
class SmoothedLabels:
    """From an image and its maps to the CRF's labels; it can be sent to another process.

    Attributes:
        background: the constant that maps compete with.
        crf: of the labels.
        confidence: trust in a pixel's own label.
        num_labels: labels the rest is shared by; None: background and those of the maps.
    """

    background: float
    crf: CrfSettings
    confidence: float
    num_labels: int | None

    def __call__(self, image: np.ndarray, heat: HeatMaps) -> np.ndarray:
        labels = argmax_refiner(self.background)(image, heat)
        count = self.num_labels or len(heat.classes) + 1
        return label_crf(image, labels, count, confidence=self.confidence, preset=self.crf)
