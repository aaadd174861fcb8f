"""Parameters of what makes masks of heat maps: the section `refiners`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seedbed.params.base import Fraction, Section
from seedbed.params.crfs import CrfPicture


class Argmax(Section):
    """Labels straight from the maps, against the explainer's constant background."""

    kind: Literal["argmax"]


class DenseCrf(Section):
    """Dense CRF over the maps and a background of ``(1 - max map) ** alpha``, or the explainer's constant."""

    kind: Literal["dense_crf"]
    crf: str
    alpha: float | None = Field(None, gt=0)


class RandomWalk(Section):
    """Random walk of the maps over the affinities of ``network``."""

    kind: Literal["random_walk"]
    network: str
    alpha: float | None = Field(None, gt=0, description="background exponent; null: the constant below")
    background: Fraction | None = None
    beta: float = Field(gt=0)
    log2_steps: int = Field(ge=0, description="t = 2 ** log2_steps applications of the transition matrix")
    crf: str | None = None
    crf_on: Literal["scores", "labels"] = Field(
        "scores", description="the CRF sees the walk's scores, or only their winners, which it trusts by 0.7 (TransCAM)"
    )
    crf_picture: CrfPicture = "own"
    crf_extent: Literal["image", "padded"] = Field(
        "image", description="the CRF sees the image, or its copy padded to whole cells, and is cropped (TransCAM)"
    )
    shrink_radius: bool = Field(
        False, description="pairs reach (cells - 1) // 2 where a side has fewer than 2 radius + 1 cells (TransCAM)"
    )

    @model_validator(mode="after")
    def _one_background(self) -> "RandomWalk":
        if (self.alpha is None) == (self.background is None):
            raise ValueError("set either alpha or background, and not both")
        return self


Refiner = Annotated[Argmax | DenseCrf | RandomWalk, Field(discriminator="kind")]
