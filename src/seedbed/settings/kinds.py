"""Kinds of values that options are annotated with."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Fraction = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[int, Gt(0)]
Count = Annotated[int, Ge(0)]
NotNegative = Annotated[float, Ge(0)]
AboveZero = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]
Precision = Literal["float32", "tf32"]
"""How a GPU multiplies float32 numbers, in products and convolutions alike: with all 24 bits, or with factors rounded
to the 11 bits of TensorFloat-32, which is faster. A CPU always keeps all. bfloat16 is each training's own choice."""
MapPrecision = Literal["float32", "float64"]
"""What a network computes in while it is explained."""
CrfImage = Literal["own", "rebuilt", "rebuilt_float64"]
"""What a CRF sees: the image, or one rebuilt from normalised pixels, grey levels cut off: normalised in float32
(MCTformer's labels), or in float64 (TransCAM's segmentation)."""
