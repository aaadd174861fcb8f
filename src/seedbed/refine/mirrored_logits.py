"""Fusions of logits in two steps, as ToCo is tested: a view meets its mirror image, then scales meet (Ru et al. 2023).

Its codes for VOC and for COCO do so in reverse ways.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from seedbed.errors import DataError
from seedbed.refine.fusion import not_empty, score_fusion, upsample_scores

Meet = Callable[[Tensor, Tensor], Tensor]


@score_fusion("sum_then_largest", of_logits=True, paired=True)
def sum_then_largest(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """The sum of mirrored views, the largest of the scales, softmax (VOC)."""
    return met_logits(logits, size, torch.add, torch.maximum).softmax(dim=0)


@score_fusion("largest_then_sum", of_logits=True, paired=True)
def largest_then_sum(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """The largest of mirrored views, the sum of the scales, softmax (COCO)."""
    return met_logits(logits, size, torch.maximum, torch.add).softmax(dim=0)


def met_logits(logits: Iterable[Tensor], size: tuple[int, int], mirror: Meet, scales: Meet) -> Tensor:
    """Logits [C, H, W] of an image from those of its views, each followed by that of its mirror image.

    Args:
        logits: [C, h, w] of each view, un-mirrored.
        size: (H, W) of the image, to which they are enlarged without aligned corners.
        mirror: how a view meets its mirror image.
        scales: how scales meet.

    Raises:
        DataError: a view has no mirror image.
    """
    total = None
    for views in mirrored_pairs(logits):
        found = mirror(*(upsample_scores(maps, size, align_corners=False) for maps in views))
        total = found if total is None else scales(total, found)
    return not_empty(total)


def mirrored_pairs(logits: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each view's logits [C, h, w] with those of its mirror image, which follow them.

    Raises:
        DataError: a view has no mirror image.
    """
    views = iter(logits)
    for plain in views:
        mirrored = next(views, None)
        if mirrored is None or mirrored.shape != plain.shape:
            raise DataError("This fusion is of views and their mirror images: set flip: true.")
        yield plain, mirrored
