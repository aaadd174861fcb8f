"""Kinds of values that options are annotated with."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Fraction = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[int, Gt(0)]
Count = Annotated[int, Ge(0)]
NotNegative = Annotated[float, Ge(0)]
AboveZero = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]
CrfImage = Literal["own", "rebuilt", "rebuilt_float64"]
"""What a CRF sees: the image, or one rebuilt from normalised pixels, grey levels cut off: normalised in float32
(MCTformer's labels), or in float64 (TransCAM's segmentation)."""
