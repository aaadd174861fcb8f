"""A segmentation network's outputs at several scales, fused to one probability map, as each paper does at test time."""

from collections.abc import Callable, Iterable
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError, unknown_name


def fuse_scales(
    logits: Iterable[Tensor], size: tuple[int, int], mode: str, *, mirrored: Iterable[bool] | None = None
) -> Tensor:
    """Fuse class scores of one picture at several scales.

    Modes:

    - ``mean_logits`` (TransCAM's DeepLab): upsample with align_corners=True, average, softmax;
    - ``max_probability`` (MCTformer's segmentation network): upsample with align_corners=False, softmax, element-wise
      maximum over the scales, which does not sum to 1.

    Args:
        logits: tensors ``[C, h, w]`` of any sizes; an iterator is consumed one by one.
        size: (H, W) of the picture.
        mode: one of the above.
        mirrored: for each tensor, whether the picture was mirrored; such maps are flipped back. None: none was.

    Returns:
        ``[C, H, W]`` float32 in 0..1.
    """
    if mode not in MODES:
        raise ParameterError(unknown_name("fusion mode", mode, MODES))
    return MODES[mode](_unmirrored(logits, repeat(False) if mirrored is None else mirrored), size)


def _unmirrored(logits: Iterable[Tensor], mirrored: Iterable[bool]) -> Iterable[Tensor]:
    flips = iter(mirrored)
    for maps in logits:
        flip = next(flips, None)
        if flip is None:
            raise DataError("There are more class scores than flags saying which are mirrored.")
        yield maps.flip(-1) if flip else maps


def _mean_logits(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    total, count = None, 0
    for maps in logits:
        scores = _upsample(maps, size, align_corners=True)
        total = scores if total is None else total + scores
        count += 1
    return (_not_empty(total) / count).softmax(dim=0)


def _max_probability(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    best = None
    for maps in logits:
        probabilities = _upsample(maps, size, align_corners=False).softmax(dim=0)
        best = probabilities if best is None else torch.maximum(best, probabilities)
    return _not_empty(best)


def _upsample(maps: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    if maps.ndim != 3:
        raise DataError(f"Class scores must have shape [C, h, w], got {tuple(maps.shape)}.")
    return F.interpolate(maps.float()[None], size=size, mode="bilinear", align_corners=align_corners)[0]


def _not_empty(fused: Tensor | None) -> Tensor:
    if fused is None:
        raise DataError("There are no class scores to fuse.")
    return fused


MODES: dict[str, Callable[[Iterable[Tensor], tuple[int, int]], Tensor]] = {
    "mean_logits": _mean_logits,
    "max_probability": _max_probability,
}
