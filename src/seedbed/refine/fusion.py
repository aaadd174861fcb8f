"""A segmentation network's outputs at several scales, fused to one probability map, as each paper does at test time.

A way to fuse stands in a file of its own and registers itself.
"""

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError
from seedbed.io.catalogue import Catalogue
from seedbed.settings.checked import checked

Fuse = Callable[[Iterable[Tensor], tuple[int, int]], Tensor]


class ScoreFusion(NamedTuple):
    """A way to fuse.

    Attributes:
        fuse: takes class scores [C, h, w] of each scale, un-mirrored, and the image's size; gives [C, H, W].
        of_logits: whether it takes a network's logits as they are, instead of enlarged to the network's input.
        paired: whether each scale must come with its mirror image; the parameters are asked for that.
    """

    fuse: Fuse
    of_logits: bool
    paired: bool


FUSIONS: Catalogue[ScoreFusion] = Catalogue("fusion mode", "seedbed.refine", "score_fusion")


def score_fusion(name: str, *, of_logits: bool = False, paired: bool = False) -> Callable[[Fuse], Fuse]:
    """Register the decorated function as a way to fuse; see `ScoreFusion`."""

    def register(fuse: Fuse) -> Fuse:
        FUSIONS.enter(name, ScoreFusion(fuse, of_logits, paired))
        return fuse

    return register


@checked
def fuse_scales(
    logits: Iterable[Tensor], size: tuple[int, int], mode: str, *, mirrored: Iterable[bool] | None = None
) -> Tensor:
    """Fuse class scores of one image at several scales.

    Args:
        logits: tensors ``[C, h, w]`` of any sizes; an iterator is consumed one by one.
        size: (H, W) of the image.
        mode: a registered name, such as ``mean_logits``.
        mirrored: for each tensor, whether the image was mirrored; such maps are flipped back. None: none was.

    Returns:
        ``[C, H, W]`` float32 in 0..1.
    """
    return FUSIONS.find(mode).fuse(_unmirrored(logits, repeat(False) if mirrored is None else mirrored), size)


@checked
def upsample_scores(maps: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Scores [C, h, w] at another size, bilinearly, in float32."""
    if maps.ndim != 3 or 0 in maps.shape or min(size) < 1:
        raise DataError(f"Class scores [C, h, w] of {tuple(maps.shape)} cannot be enlarged to {tuple(size)}.")
    return F.interpolate(maps.float()[None], size=size, mode="bilinear", align_corners=align_corners)[0]


def not_empty(fused: Tensor | None) -> Tensor:
    """What was fused; DataError where there was nothing."""
    if fused is None:
        raise DataError("There are no class scores to fuse.")
    return fused


def mean_of(scores: Iterable[Tensor]) -> Tensor:
    """The mean of tensors of one shape, taken one by one; DataError where there is none."""
    total, count = None, 0
    for each in scores:
        total = each if total is None else total + each
        count += 1
    return not_empty(total) / count


def _unmirrored(logits: Iterable[Tensor], mirrored: Iterable[bool]) -> Iterable[Tensor]:
    flips, classes = iter(mirrored), None
    for maps in logits:
        classes = classes or len(maps)
        if len(maps) != classes:
            raise DataError(f"Class scores of {classes} and of {len(maps)} classes cannot be fused.")
        flip = next(flips, None)
        if flip is None:
            raise DataError("There are more class scores than flags saying which are mirrored.")
        yield maps.flip(-1) if flip else maps
