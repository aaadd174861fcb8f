"""Masks by a random walk of the heat maps over learned affinities."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seedbed.data.index import Record
from seedbed.io.notice import notice
from seedbed.refine.refiners import Given, MakeMasks, Words, refiner, required
from seedbed.settings.kinds import AboveZero, Count, CrfImage, Fraction

NAMED = 5  # images in a message


@refiner("random_walk", affinities=True, either="alpha background")
@dataclass(frozen=True, kw_only=True)
class RandomWalk:
    """Random walk of the maps over the affinities of ``network``.

    Attributes:
        network: name in `affinity_networks`.
        alpha: background exponent; null: the constant below.
        background: constant background.
        beta: exponent that thins out weak affinities.
        log2_steps: t = 2 ** log2_steps applications of the transition matrix.
        crf: name in `crf` of a CRF over the result.
        crf_on: the CRF sees the walk's scores, or only their winners, which it trusts by 0.7 (TransCAM).
        crf_image: what the CRF sees; rebuilt from normalised pixels, grey levels cut off: normalised in float32
            (MCTformer's labels), or in float64 (TransCAM's segmentation).
        crf_extent: the CRF sees the image, or its copy padded to whole cells, and is cropped (TransCAM).
        shrink_radius: pairs reach (cells - 1) // 2 where a side has fewer than 2 radius + 1 cells (TransCAM).
    """

    network: str
    beta: AboveZero
    log2_steps: Count
    alpha: AboveZero | None = None
    background: Fraction | None = None
    crf: str | None = None
    crf_on: Literal["scores", "labels"] = "scores"
    crf_image: CrfImage = "own"
    crf_extent: Literal["image", "padded"] = "image"
    shrink_radius: bool = False

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        walk = f"random walk beta {self.beta:g}, t {2**self.log2_steps}"
        on_winners = " on its winners" if self.crf and self.crf_on == "labels" else ""
        padded = " of the padded image" if self.crf and self.crf_extent == "padded" else ""
        return f"{words.scores(self.alpha, self.background)}, {walk}, {words.crf(self.crf)}{on_winners}{padded}"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`."""
        from seedbed.io.plain import from_plain
        from seedbed.models.registry import create_model
        from seedbed.models.weights.loading import load_weights
        from seedbed.refine.affinity_walk import WalkedNetwork, can_walk, random_walk_refiner
        from seedbed.refine.mask_making import pseudo_masks

        network = from_plain(WalkedNetwork, required(given.network, "an affinity network"))
        model = create_model(network.architecture, None, radius=network.radius, **network.options)
        load_weights(model, str(required(given.weights, "weights")))
        labels = len(given.index.classes) + 1
        refine = random_walk_refiner(self, network, model, given.crf, given.device, labels)
        maps = required(given.heatmaps, "heat maps")

        def make(records: Sequence[Record]) -> Iterator[tuple[str, np.ndarray]]:
            small = [r.image for r in records if r.labels and not can_walk(r.size, network, self.shrink_radius)]
            if small:
                notice.warning(
                    "%d of %d images have too few cells of %d pixels for a random walk; their maps are taken as they "
                    "are: %s",
                    len(small),
                    len(records),
                    network.stride,
                    ", ".join(small[:NAMED]) + (", ..." if len(small) > NAMED else ""),
                )
            yield from pseudo_masks(given.index, records, maps, refine.walk, see=refine.see, workers=given.workers)

        return make
