"""The numbers of a dense CRF."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from seedbed.settings.kinds import AboveZero, NotNegative, Positive


@dataclass(frozen=True)
class CrfSettings:
    """Kernel widths, weights and iterations of one dense CRF: a Gaussian and a bilateral kernel.

    ``*_sxy`` are standard deviations in pixels, ``bilateral_srgb`` in grey levels of 0..255, weights are in nats;
    ``implementation`` is that of the inference: our own ``lattice``, or the published one, equal up to rounding.
    """

    # How the parameters are checked against it.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    gaussian_sxy: AboveZero
    gaussian_weight: NotNegative
    bilateral_sxy: AboveZero
    bilateral_srgb: AboveZero
    bilateral_weight: NotNegative
    iterations: Positive = 10
    implementation: Literal["lattice", "pydensecrf"] = "lattice"
