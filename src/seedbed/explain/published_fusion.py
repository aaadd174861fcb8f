"""Fusions of views as published code does them: the sum over scales and mirrored views, then normalised."""

from torch import Tensor

from seedbed.explain.map_fusion import fuse_maps
from seedbed.explain.view_fusion import Size, view_fusion


@view_fusion("psa")
def psa(views: list[Tensor], flips: list[bool], size: Size, *, cut: bool = True) -> Tensor:
    """PSA's; ``cut`` takes the negative part out of every view before, as PSA and IRN do with class activation maps."""
    return _summed(views, flips, size, "psa", cut)


@view_fusion("mctformer")
def mctformer(views: list[Tensor], flips: list[bool], size: Size, *, cut: bool = False) -> Tensor:
    """MCTformer's; ``cut`` as in `psa`."""
    return _summed(views, flips, size, "mctformer", cut)


@view_fusion("transcam")
def transcam(views: list[Tensor], flips: list[bool], size: Size, *, cut: bool = False) -> Tensor:
    """TransCAM's; ``cut`` as in `psa`."""
    return _summed(views, flips, size, "transcam", cut)


@view_fusion("afa")
def afa(views: list[Tensor], flips: list[bool], size: Size, *, cut: bool = False) -> Tensor:
    """AFA's; ``cut`` as in `psa`."""
    return _summed(views, flips, size, "afa", cut)


def _summed(views: list[Tensor], flips: list[bool], size: Size, variant: str, cut: bool) -> Tensor:
    """The views as ``variant`` of `fuse_maps` fuses them."""
    step = 2 if any(flips) else 1
    views = [view.relu() for view in views] if cut else views
    scales = [(views[k], views[k + 1] if step == 2 else None) for k in range(0, len(views), step)]
    return fuse_maps(scales, size, variant)
