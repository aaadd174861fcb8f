"""Masks of maps under a background of what no class claims, by a dense CRF whose doubt becomes void (CLIP-ES)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seedbed.io.heatmaps import HeatMaps
from seedbed.refine.bgr_picture import bgr_less_mean
from seedbed.refine.refiners import Given, MakeMasks, Words, refiner, required
from seedbed.settings.dense_crf import CrfSettings
from seedbed.settings.kinds import AboveZero, Fraction


@refiner("confident_crf")
@dataclass(frozen=True, kw_only=True)
class ConfidentCrf:
    """The maps and a background of ``(1 - max map) ** alpha``, through a dense CRF; unsure pixels become void.

    Attributes:
        crf: name in `crf`.
        alpha: background exponent.
        confidence: pixels whose winner's posterior is below it are void, 255, and teach nothing; null: none are.
        crf_image: what the CRF sees; bgr_less_mean: blue first, less the mean, wrapped around (CLIP-ES, as published).
    """

    crf: str
    alpha: AboveZero = 1.0
    confidence: Fraction | None = None
    crf_image: Literal["own", "bgr_less_mean"] = "own"

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        shown = " of the picture in BGR less its mean" if self.crf_image == "bgr_less_mean" else ""
        unsure = f", void below {self.confidence:g}" if self.confidence is not None else ""
        return f"{words.scores(self.alpha, None)}, {words.crf(self.crf)}{shown}{unsure}"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`."""
        from seedbed.refine.mask_making import pseudo_masks

        refine = Refined(self, required(given.crf, "a CRF"))
        maps = required(given.heatmaps, "heat maps")
        return lambda records: pseudo_masks(given.index, records, maps, refine, workers=given.workers)


@dataclass(frozen=True)
class Refined:
    """From an image and its maps to positions in ``[background, *classes, void]``, [H, W]."""

    settings: ConfidentCrf
    crf: CrfSettings

    def __call__(self, image: np.ndarray, heat: HeatMaps) -> np.ndarray:
        return confident_positions(self.posteriors(image, heat), self.settings.confidence)

    def posteriors(self, image: np.ndarray, heat: HeatMaps) -> np.ndarray:
        """Posteriors [K + 1, H, W] of the maps and their background."""
        from seedbed.refine.crf import dense_crf
        from seedbed.refine.mask_making import score_stack

        shown = bgr_less_mean(image) if self.settings.crf_image == "bgr_less_mean" else image
        return dense_crf(shown, score_stack(heat.maps, self.settings.alpha, None), self.crf)


def confident_positions(posteriors: np.ndarray, confidence: float | None) -> np.ndarray:
    """Winners [H, W] among posteriors [K + 1, H, W]; K + 1, void, where the winner's is below ``confidence``.

    The confidence-guided loss of CLIP-ES (equation 8) is the training that leaves these pixels out.
    """
    winners = posteriors.argmax(0)
    return winners if confidence is None else np.where(posteriors.max(0) < confidence, len(posteriors), winners)
