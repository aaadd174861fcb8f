"""Masks straight from the heat maps."""

from dataclasses import dataclass

from seedbed.refine.refiners import Given, MakeMasks, Words, refiner


@refiner("argmax")
@dataclass(frozen=True, kw_only=True)
class Argmax:
    """Labels straight from the maps, against the explainer's constant background."""

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        return f"{words.scores(None, words.background)}, {words.crf(None)}"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`."""
        from seedbed.refine.mask_making import argmax_refiner, pseudo_masks

        refine = argmax_refiner(given.background)
        return lambda records: pseudo_masks(given.index, records, given.heatmaps, refine)
