"""Parameters of how a network predicts masks."""

from typing import Literal

from pydantic import Field

from seedbed.params.base import Section
from seedbed.settings.kinds import CrfImage


class MaskPrediction(Section):
    """How a network's class scores of pixels become a mask: scales and mirrored views, fused, perhaps a CRF."""

    scales: list[float] = [1.0]
    flip: bool = False
    scaling: Literal["image", "tensor", "cv2_cubic", "linear"] = Field(
        "image",
        description="resize the 8-bit image; or normalised pixels: bilinear with aligned corners (MCTformer's code), "
        "by OpenCV's bicubic filter and by the factor (TransCAM's), or bilinear without aligned corners, to input.size "
        "first (ToCo's)",
    )
    rounding: Literal["nearest", "down"] = Field("nearest", description="of the sides of scaled inputs")
    fusion: Literal["mean_logits", "max_probability", "sum_then_largest", "largest_then_sum"] = "mean_logits"
    crf: str | None = None
    crf_image: CrfImage = "own"
