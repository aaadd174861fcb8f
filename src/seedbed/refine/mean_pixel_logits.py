"""Fusion of views by mean logits without aligned corners, as ExCEL is tested (Yang et al., CVPR 2025)."""

from collections.abc import Iterable

from torch import Tensor

from seedbed.refine.fusion import mean_of, score_fusion, upsample_scores


@score_fusion("mean_pixel_logits", of_logits=True)
def mean_of_pixel_logits(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Upsample without aligned corners, average, softmax (VOC)."""
    return mean_logits_at(logits, size).softmax(dim=0)


@score_fusion("mean_fifth_logits", of_logits=True)
def mean_of_fifth_logits(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """The same at a fifth of the sides, cut to whole pixels, and then enlarged (COCO)."""
    fifth = (max(1, size[0] // 5), max(1, size[1] // 5))
    return upsample_scores(mean_logits_at(logits, fifth), size, align_corners=False).softmax(dim=0)


def mean_logits_at(logits: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """The mean of logits [C, h, w] of any sizes, brought to one without aligned corners: [C, *size]."""
    return mean_of(upsample_scores(maps, size, align_corners=False) for maps in logits)
