"""How an image is brought to a network."""

from typing import Literal

from pydantic import Field

from seedbed.params.base import Positive, Section


class Input(Section):
    """How an image is brought to a network at inference."""

    size: tuple[Positive, Positive] | None = Field(None, description="(height, width) to squash to; null keeps its own")
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    normalize: Literal["half", "imagenet", "clip"] | None = Field(
        None, description="what the network's weights were trained with; an explainer takes its network's"
    )


class NetworkInput(Input):
    """An input that says what its network's weights were trained with."""

    normalize: Literal["half", "imagenet", "clip"]


class ExplainedInput(Input):
    """The same for its maps, which are made of images of any size."""

    multiple: Positive = Field(1, description="sides are rounded up to a multiple of it, such as a patch")
