"""The networks of the four papers, every timm model, and strict loading of their published weights."""

# Importing a network's file puts its names into the registry.
from seedbed.models import (  # noqa: F401
    affinitynet,
    affinitynet_hybrid,
    conformer,
    deeplab,
    exvit,
    mctformer,
    mctformer_plus,
    resnet38,
    vit_tiny,
)
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
