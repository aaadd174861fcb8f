"""Masks by a random walk of the heat maps within learned class boundaries (IRN)."""

from dataclasses import dataclass

from seedbed.refine.refiners import Given, MakeMasks, Words, refiner, required
from seedbed.settings.kinds import AboveZero, Count, Fraction, Positive


@refiner("boundary_walk", affinities=True)
@dataclass(frozen=True, kw_only=True)
class BoundaryWalk:
    """Random walk of the maps from inside the class boundaries of ``network``, against a constant background after it.

    Attributes:
        network: name in `affinity_networks` of a network that predicts class boundaries.
        beta: exponent that thins out weak affinities.
        log2_steps: t = 2 ** log2_steps applications of the transition matrix.
        background: constant background, in units of the image's highest walked score.
        walk_radius: a step leads less than this far, in cells; the network learns within its own radius.
        crf: name in `crf` of a CRF over the result.
    """

    network: str
    beta: AboveZero
    log2_steps: Count
    background: Fraction
    walk_radius: Positive = 5
    crf: str | None = None

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        walk = f"random walk within boundaries, radius {self.walk_radius}, beta {self.beta:g}, t {2**self.log2_steps}"
        return f"{walk}, {words.scores(None, self.background)} after it, {words.crf(self.crf)}"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`."""
        from seedbed.io.plain import from_plain
        from seedbed.models.registry import create_model
        from seedbed.models.weights.loading import load_weights
        from seedbed.refine.affinity_walk import WalkedNetwork
        from seedbed.refine.boundary_walk import Boundaries, BoundedWalk
        from seedbed.refine.mask_making import pseudo_masks

        network = from_plain(WalkedNetwork, required(given.network, "an affinity network"))
        model = create_model(network.architecture, None, radius=network.radius, **network.options)
        load_weights(model, str(required(given.weights, "weights")))
        see, walk = Boundaries(model, network.input, given.device), BoundedWalk(self, given.crf)
        maps = required(given.heatmaps, "heat maps")
        return lambda records: pseudo_masks(given.index, records, maps, walk, see=see, workers=given.workers)
