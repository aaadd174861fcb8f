"""How narrow a Gaussian may be before its lattice breaks down."""

import math
from collections.abc import Sequence

from seedbed.errors import ParameterError

FARTHEST = 2.0**22
"""Lattice cells: beyond, float32 cannot tell where in its simplex a point lies, and pydensecrf ends the process."""


def extent(length: float, width: float) -> float:
    """Return how many standard deviations of ``width`` a length is; infinitely many of one that is 0 or no number."""
    return length / width if width > 0 else math.inf


def require_wide(extents: Sequence[float]) -> None:
    """Check that a lattice holds points up to ``extents``, in standard deviations of the Gaussian along each axis.

    Raises:
        ParameterError: it does not, or an extent is no finite number.
    """
    cells = math.sqrt(2 / 3) * (len(extents) + 1) * math.hypot(*extents)
    if not cells < FARTHEST:
        raise ParameterError(
            f"A Gaussian so narrow that points lie {cells:.1e} lattice cells apart, where {FARTHEST:.1e} can be told: "
            "widen it (gaussian_sxy, bilateral_sxy, bilateral_srgb), or take a smaller scale_factor."
        )
