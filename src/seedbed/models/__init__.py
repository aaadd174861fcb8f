"""The networks of the four papers, every timm model, and strict loading of their published weights."""

from seedbed.io.catalogue import import_registered
from seedbed.models.parameter_groups import four_parameter_groups
from seedbed.models.registry import create_model, list_models, model_entry
from seedbed.models.weights import LoadedWeights, load_weights, read_weights

__all__ = [
    "LoadedWeights",
    "create_model",
    "four_parameter_groups",
    "list_models",
    "load_weights",
    "model_entry",
    "read_weights",
]

import_registered(__name__, "register")
