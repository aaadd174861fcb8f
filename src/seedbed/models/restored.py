"""Classifiers from their description and their weights file, as measuring and drawing need them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from seedbed.models.registry import create_model
from seedbed.models.weights.loading import load_weights


def restore_classifier(network: Mapping[str, Any], num_classes: int, weights: Path | str) -> nn.Module:
    """Build a classifier and fill it from its weights file.

    Args:
        network: ``architecture``, ``options``, and ``num_classes``, None for those of the data set.
        num_classes: classes of the data set.
        weights: file with exactly the network's tensors.

    Raises:
        ParameterError: the architecture is unknown or an option does not fit.
        DataError: the file cannot be read, or its tensors are not the network's.
    """
    model = create_model(network["architecture"], network["num_classes"] or num_classes, **network["options"])
    load_weights(model, weights)
    return model
