"""Parameters of which epoch's weights a classifier keeps."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from seedbed.params.base import Fraction, Positive, Section


class BestEpoch(Section):
    """The epoch whose maps fit ground-truth masks best, as WeakTr's published code chooses."""

    by: str = Field("maps", description="what an epoch is chosen by")
    method: str = Field(description="of the maps, which are of one scale")
    options: dict[str, Any] = {}
    fusion: str
    flip: bool = True
    size: tuple[Positive, Positive] | None = Field(None, description="(height, width) to squash to; null keeps its own")
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    batch_size: Positive = 16
    split: str = Field("train", description="whose ground truth is looked at")
    images: Positive | None = Field(None, description="of the split, the first ones; null: all")
    backgrounds: tuple[Fraction, Fraction] = Field((0.40, 0.59), description="lowest and highest, in steps of 0.01")
    search: Literal["early_stop", "full_scan"] = Field(
        "early_stop", description="end at the first background that does not raise the mIoU, or try all"
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        low, high = self.backgrounds
        if low > high:
            raise ValueError(f"backgrounds: the lowest, {low:g}, is above the highest, {high:g}")
        return self
