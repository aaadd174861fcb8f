"""Parameters of how a network predicts masks."""

from typing import Literal

from pydantic import Field

from seedbed.params.base import Section
from seedbed.settings.kinds import CrfImage


class MaskPrediction(Section):
    """How a network's class scores of pixels become a mask: scales and mirrored views, fused, perhaps a CRF."""

    scales: list[float] = [1.0]
    flip: bool = False
    scaling: Literal["image", "tensor", "cv2_cubic"] = Field(
        "image",
        description="resize the 8-bit image; or normalised pixels: bilinear with aligned corners (MCTformer's code), "
        "or by OpenCV's bicubic filter and by the factor (TransCAM's)",
    )
    rounding: Literal["nearest", "down"] = Field("nearest", description="of the sides of scaled inputs")
    fusion: Literal["mean_logits", "max_probability"] = "mean_logits"
    crf: str | None = None
    crf_image: CrfImage = "own"
