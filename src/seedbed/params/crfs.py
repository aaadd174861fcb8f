"""Parameters of dense CRFs: the section `crf`."""

from typing import Annotated, Literal

from pydantic import Field

from seedbed.params.base import Positive, Section


class Crf(Section):
    """A dense CRF: Gaussian and bilateral kernels as (standard deviations in pixels and grey levels, weight)."""

    iterations: Positive = 10
    gaussian_sxy: float = Field(gt=0)
    gaussian_weight: float = Field(ge=0)
    bilateral_sxy: float = Field(gt=0)
    bilateral_srgb: float = Field(gt=0)
    bilateral_weight: float = Field(ge=0)


CrfPicture = Annotated[
    Literal["own", "rebuilt", "rebuilt_float64"],
    Field(
        description="what the CRF sees; rebuilt from normalised pixels, grey levels cut off: normalised in float32 "
        "(MCTformer's labels), or in float64 (TransCAM's segmentation)"
    ),
]
