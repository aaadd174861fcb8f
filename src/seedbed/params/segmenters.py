"""Parameters of segmentation networks: the section `segmenters`."""

from typing import Any, Literal

from pydantic import Field

from seedbed.params.network_input import NetworkInput
from seedbed.params.published_networks import Trained
from seedbed.settings.kinds import CrfPicture
from seedbed.settings.optimisation import Training


class Segmenter(Trained):
    """A segmentation network trained on pseudo masks."""

    architecture: str
    options: dict[str, Any] = {}
    weights: str | None = None
    weights_options: dict[str, Any] = Field({}, description="into (a module), layout, subtree, drop, fresh")
    train: Training
    scales: list[float] = [1.0]
    flip: bool = False
    scaling: Literal["picture", "tensor", "cv2_cubic"] = Field(
        "picture",
        description="resize the 8-bit image; or normalised pixels: bilinear with aligned corners (MCTformer's code), "
        "or by OpenCV's bicubic filter and by the factor (TransCAM's)",
    )
    rounding: Literal["nearest", "down"] = Field("nearest", description="of the sides of scaled inputs")
    fusion: Literal["mean_logits", "max_probability"] = "mean_logits"
    input: NetworkInput
    crf: str | None = None
    crf_picture: CrfPicture = "own"
