"""Masks by a dense CRF over hard labels."""

from dataclasses import dataclass
from typing import Literal

from seedbed.refine.refiners import Given, MakeMasks, Words, refiner, required
from seedbed.settings.kinds import Share


@refiner("label_crf")
@dataclass(frozen=True, kw_only=True)
class LabelCrf:
    """Labels straight from the maps, against the explainer's constant background, smoothed by a dense CRF (WeakTr).

    Attributes:
        crf: name in `crf`.
        confidence: trust in a pixel's own label, below 1.
        among: the labels that the rest is shared by: background and the image's `own` classes, or `all` of the data
            set's.
    """

    crf: str
    confidence: Share = 0.7
    among: Literal["own", "all"] = "own"

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        labels = "the image's own labels" if self.among == "own" else "all labels"
        trust = f"on hard labels trusted to {self.confidence:g} among {labels}"
        return f"{words.scores(None, words.background)}, {words.crf(self.crf)} {trust}"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`."""
        from seedbed.refine.hard_labels import SmoothedLabels
        from seedbed.refine.mask_making import pseudo_masks

        count = len(given.index.classes) + 1 if self.among == "all" else None
        background, crf = required(given.background, "a background"), required(given.crf, "a CRF")
        refine = SmoothedLabels(background, crf, self.confidence, count)
        maps = required(given.heatmaps, "heat maps")
        return lambda records: pseudo_masks(given.index, records, maps, refine, workers=given.workers)
