"""Parameters of how a network predicts masks."""

from typing import Literal

from pydantic import Field, model_validator

from seedbed.io.registrations import registered_names, registrations
from seedbed.params.base import Positive, Section
from seedbed.settings.kinds import CrfImage

FUSIONS = ("seedbed.refine", "score_fusion")
"""Where ways to fuse class scores register themselves, with what they need."""


class Window(Section):
    """Square windows that slide over an image; scores are the mean of all in which a pixel lies."""

    size: Positive = Field(description="side in pixels")
    stride: Positive = Field(description="pixels from one window to the next")


class MaskPrediction(Section):
    """How a network's class scores of pixels become a mask: scales and mirrored views, fused, perhaps a CRF."""

    scales: list[float] = [1.0]
    flip: bool = False
    unmirrored: list[float] = Field([], description="scales whose mirrored view is left out; each still counts as one")
    short_side: Positive | None = Field(None, description="shorter side at scale 1; null: input.size, or its own")
    longest_side: Positive | None = Field(
        None, description="first bring the longer side of normalised pixels to it, sides cut down (WeCLIP's code)"
    )
    window: Window | None = Field(None, description="windows that slide over each scaled image; null: whole images")
    scaling: Literal["image", "tensor", "linear", "by_factor", "squeezed", "cv2_cubic"] = Field(
        "image",
        description="resize the 8-bit image; or normalised pixels: bilinear with aligned corners (MCTformer's code), "
        "linear without, to input.size first (WeakTr's, ToCo's), by_factor without, by the factor (WeCLIP's), "
        "squeezed without, straight to the scaled input.size (ExCEL's), or "
        "OpenCV's bicubic by the factor (TransCAM's)",
    )
    rounding: Literal["nearest", "down"] = Field("nearest", description="of the sides of scaled inputs")
    fusion: Literal[registered_names(*FUSIONS)] = "mean_logits"  # type: ignore[valid-type]
    crf: str | None = None
    crf_image: CrfImage = "own"
    crf_labels: Literal["all", "winning"] = Field(
        "all", description="labels that the CRF is told of: all, or those that win somewhere (WeakTr's)"
    )

    @model_validator(mode="after")
    def _mirror_images(self) -> "MaskPrediction":
        (entry,) = registrations(*FUSIONS)[self.fusion]
        if entry.keywords.get("paired") and (not self.flip or self.unmirrored):
            raise ValueError(
                f"fusion {self.fusion} joins views with their mirror images: set flip: true, unmirrored: []"
            )
        return self
