"""Masks by a dense CRF over the heat maps."""

from dataclasses import dataclass

from seedbed.refine.refiners import Given, MakeMasks, Words, refiner
from seedbed.settings.kinds import AboveZero


@refiner("dense_crf")
@dataclass(frozen=True, kw_only=True)
class DenseCrf:
    """Dense CRF over the maps and a background of ``(1 - max map) ** alpha``, or the explainer's constant.

    Attributes:
        crf: name in `crf`.
        alpha: background exponent; null: the explainer's constant.
    """

    crf: str
    alpha: AboveZero | None = None

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        return f"{words.scores(self.alpha, words.background)}, {words.crf(self.crf)}"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`."""
        from seedbed.refine.mask_making import crf_refiner, pseudo_masks

        refine = crf_refiner(given.crf, self.alpha, given.background)
        return lambda records: pseudo_masks(given.index, records, given.heatmaps, refine)
