"""Published weights: containers, layouts, and strict loading into our networks."""

from seedbed.models.weights.loading import LoadedWeights, load_weights
from seedbed.models.weights.reading import read_weights

__all__ = ["LoadedWeights", "load_weights", "read_weights"]
