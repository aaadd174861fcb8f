"""The numbers of a dense CRF."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class CrfSettings:
    """Kernel widths, weights and iterations of one dense CRF: a Gaussian and a bilateral kernel.

    ``*_sxy`` are standard deviations in pixels, ``bilateral_srgb`` in grey levels of 0..255, weights are in nats.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # how the parameters are checked against it

    gaussian_sxy: Annotated[float, Gt(0)]
    gaussian_weight: Annotated[float, Ge(0)]
    bilateral_sxy: Annotated[float, Gt(0)]
    bilateral_srgb: Annotated[float, Gt(0)]
    bilateral_weight: Annotated[float, Ge(0)]
    iterations: Annotated[int, Gt(0)] = 10
