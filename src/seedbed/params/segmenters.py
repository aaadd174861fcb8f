"""Parameters of segmentation networks: the section `segmenters`."""

from typing import Any

from pydantic import Field

from seedbed.params.mask_prediction import MaskPrediction
from seedbed.params.network_input import NetworkInput
from seedbed.params.published_networks import Trained
from seedbed.settings.optimisation import Training


class Segmenter(Trained, MaskPrediction):
    """A segmentation network trained on pseudo masks, or another way to test one."""

    architecture: str
    options: dict[str, Any] = {}
    weights: str | None = None
    weights_options: dict[str, Any] = Field({}, description="into (a module), layout, subtree, drop, fresh, grid")
    trained_as: str | None = Field(
        None, description="another segmenter: its trained network is tested as this section says, and none is trained"
    )
    train: Training
    input: NetworkInput
