"""Fusions of views that take their mean."""

import torch
from torch import Tensor

from seedbed.explain.map_scaling import min_max, upsample
from seedbed.explain.view_fusion import Size, view_fusion


@view_fusion("raw")
def raw(views: list[Tensor], flips: list[bool], size: Size) -> Tensor:
    """Mean of the enlarged maps, as they are."""
    return _mean(views, flips, size)


@view_fusion("min_max")
def stretched(views: list[Tensor], flips: list[bool], size: Size) -> Tensor:
    """Mean of the enlarged maps, stretched to 0..1 (the protocols of ``agcam`` and of Chefer et al.)."""
    return min_max(_mean(views, flips, size))


def _mean(views: list[Tensor], flips: list[bool], size: Size) -> Tensor:
    enlarged = [upsample(view, size) for view in views]
    return torch.stack([view.flip(-1) if flip else view for view, flip in zip(enlarged, flips, strict=True)]).mean(0)
