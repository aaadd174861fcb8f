"""Class activation maps as scores: each map against its own peak."""

from torch import Tensor

EPS = 1e-5


def peaked(maps: Tensor) -> Tensor:
    """Each map [..., h, w], signed, cut at 0 and divided by its maximum: 0..1; one without evidence is 0."""
    positive = maps.relu()
    return positive / (positive.amax((-2, -1), keepdim=True) + EPS)
