"""AFA-style reliable labels: from class maps to segmentation labels with an ignored middle, and to attention labels.

AFA (Ru et al., CVPR 2022); AReAM, equations 13 and 14 (read the way that leaves something to ignore: above the high
threshold foreground, below the low one background).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.refine.background import with_constant_background
from seedbed.refine.par import pixel_adaptive_refinement
from seedbed.settings.checked import checked

IGNORE = 255


@checked
def cam_to_label(
    cams: Tensor,
    labels: Tensor,
    *,
    background: float | None = 0.45,
    thresholds: tuple[float, float] | None = None,
    valid_boxes: Tensor | None = None,
) -> Tensor:
    """Label every pixel with its strongest present class, background, or "ignore".

    With ``m`` the largest value over the present classes: ``m <= background`` is 0. With ``thresholds = (low, high)``,
    in this order after that: ``m <= high`` is 255, ``m <= low`` is 0 (AReAM equation 13: ``alpha_1`` and ``alpha_2``).

    Args:
        cams: ``[B, C, H, W]`` float.
        labels: ``[B, C]``, non-zero where a class is present.
        background: threshold of the plain rule; None leaves it out.
        thresholds: ``(low, high)`` of the rule with a middle; None leaves it out.
        valid_boxes: ``[B, 4]`` int, ``(top, bottom, left, right)``; pixels outside are 255.

    Returns:
        ``[B, H, W]`` int64: 0 background, ``c + 1`` for class ``c``, 255 ignore.
    """
    _check_labels(cams, labels)
    masked = cams * (labels != 0)[:, :, None, None]
    peak, winner = masked.max(dim=1)
    result = winner + 1
    if background is not None:
        result.masked_fill_(peak <= background, 0)
    if thresholds is not None:
        low, high = _ordered(thresholds)
        result.masked_fill_(peak <= high, IGNORE).masked_fill_(peak <= low, 0)
    return _outside_ignored(result, valid_boxes)


@checked
def refine_cams_with_background(
    images: Tensor,
    cams: Tensor,
    labels: Tensor,
    *,
    thresholds: tuple[float, float] = (0.35, 0.55),
    valid_boxes: Tensor | None = None,
    downscale: int = 2,
    refine: Callable[[Tensor, Tensor], Tensor] = pixel_adaptive_refinement,
) -> Tensor:
    """Refine class maps against two background scores and keep the pixels on which both agree (AFA).

    For each background score: background and present classes at ``1 / downscale`` of the resolution, softmax over those
    channels, ``refine``, upsample, argmax. Foreground under the high score is foreground; background under both is
    background; what is background under the high score only is 255.

    Args:
        images: ``[B, 3, H, W]`` float, not normalised.
        cams: ``[B, C, H, W]`` float in 0..1.
        labels: ``[B, C]``, non-zero where a class is present.
        thresholds: ``(low, high)`` background scores. AFA, AReAM on Conformer-S: (0.35, 0.55); MCTformer: (0.15, 0.35).
        valid_boxes: ``[B, 4]`` int, ``(top, bottom, left, right)``; pixels outside are 255.
        downscale: resolution divisor during refinement.
        refine: maps an image ``[1, 3, h, w]`` and scores ``[1, K, h, w]`` to refined scores of that size.

    Returns:
        ``[B, H, W]`` int64: 0 background, ``c + 1`` for class ``c``, 255 ignore.
    """
    _check_labels(cams, labels)
    size = cams.shape[-2:]
    if images.shape[-2:] != size or len(images) != len(cams):
        raise DataError(f"Images {tuple(images.shape)} and maps {tuple(cams.shape)} differ in batch or size.")
    small = (size[0] // downscale, size[1] // downscale)
    if min(small) < 1:
        raise ParameterError(f"downscale {downscale} leaves nothing of {size[0]} x {size[1]} pixels.")
    images = F.interpolate(images, size=small, mode="bilinear", align_corners=False)

    def winners(image: int, score: float) -> Tensor:
        present = labels[image].nonzero()[:, 0]
        stack = with_constant_background(cams[image, present], score)[None]
        stack = F.interpolate(stack, size=small, mode="bilinear", align_corners=False).softmax(dim=1)
        refined = F.interpolate(
            refine(images[image : image + 1], stack), size=size, mode="bilinear", align_corners=False
        )
        ids = torch.cat([present.new_zeros(1), present + 1])
        return ids[refined[0].argmax(dim=0)]

    low, high = _ordered(thresholds)
    result = []
    for image in range(len(cams)):
        result.append(agreed_labels(winners(image, high), winners(image, low)))
    return _outside_ignored(torch.stack(result), valid_boxes)


def agreed_labels(strict: Tensor, loose: Tensor) -> Tensor:
    """Labels against a high background score but for what is background against that one alone, which is 255.

    Args:
        strict, loose: integer, of one shape: labels against the high background score and against the low one.
    """
    return torch.where((strict == 0) & (loose != 0), IGNORE, strict)


@checked
def attention_affinity_labels(label_map: Tensor, *, radius: int | None = 8, cell: int = 16) -> Tensor:
    """Turn segmentation labels into labels for an attention matrix (AFA; AReAM, equation 14).

    The label map is subsampled to one label a patch (nearest: the top-left pixel of its cell). A pair is 1 where both
    labels are equal, 0 where they differ, 255 where either is 255 or the patches are more than ``radius`` apart.

    Args:
        label_map: ``[B, H, W]`` integer, 255 = ignore.
        radius: largest Chebyshev distance in patches, inclusive; None keeps all pairs.
        cell: pixels per patch side.

    Returns:
        ``[B, N, N]`` uint8 with ``N = (H // cell) * (W // cell)``, both orders and the diagonal included.
    """
    if cell < 1:
        raise ParameterError(f"cell must be 1 pixel or more, got {cell}.")
    h, w = (side // cell for side in label_map.shape[-2:]) if label_map.ndim == 3 else (0, 0)
    if min(h, w) < 1:
        raise DataError(f"Need a label map [B, H, W] of at least {cell} x {cell} pixels, got {tuple(label_map.shape)}.")
    # float32 holds label ids exactly; nearest interpolation is not offered for integers.
    patches = F.interpolate(label_map[:, None].float(), size=(h, w), mode="nearest").flatten(1)
    one, other = patches[:, :, None], patches[:, None, :]
    pairs = (one == other).to(torch.uint8)
    ignored = (one == IGNORE) | (other == IGNORE)
    if radius is not None:
        ignored = ignored | ~chebyshev_window(h, w, radius, device=label_map.device)
    return pairs.masked_fill_(ignored, IGNORE)


@checked
def chebyshev_window(h: int, w: int, radius: int, *, device: torch.device | None = None) -> Tensor:
    """Return ``[N, N]`` bool, True where two cells of ``h x w`` are at most ``radius`` rows and columns apart."""
    if min(h, w) < 1 or radius < 0:
        raise ParameterError(
            f"A window needs sides of 1 and more and a radius of 0 and more, got {h}, {w} and {radius}."
        )
    y, x = torch.arange(h, device=device), torch.arange(w, device=device)
    rows = (y[:, None] - y).abs() <= radius
    columns = (x[:, None] - x).abs() <= radius
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(h * w, h * w)


def _ordered(thresholds: tuple[float, float]) -> tuple[float, float]:
    low, high = thresholds
    if not low <= high:
        raise ParameterError(f"thresholds are (low, high) with low <= high, got {thresholds}.")
    return low, high


def _check_labels(cams: Tensor, labels: Tensor) -> None:
    if cams.ndim != 4 or labels.shape != cams.shape[:2] or not cams.is_floating_point():
        raise DataError(
            f"Need floating maps [B, C, H, W] and labels [B, C], got {cams.dtype} {tuple(cams.shape)} and "
            f"{tuple(labels.shape)}."
        )


def _outside_ignored(result: Tensor, boxes: Tensor | None) -> Tensor:
    if boxes is None:
        return result
    if boxes.shape != (len(result), 4):
        raise DataError(f"valid_boxes must be [B, 4] = [{len(result)}, 4], got {tuple(boxes.shape)}.")
    framed = torch.full_like(result, IGNORE)
    for target, source, (top, bottom, left, right) in zip(framed, result, boxes.tolist(), strict=True):
        target[top:bottom, left:right] = source[top:bottom, left:right]
    return framed
