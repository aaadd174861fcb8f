"""Relevance maps turned into class cues ([Re], section 4.3, as its published code does it)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError
from seedbed.explain.map_scaling import constants_kept
from seedbed.explain.view_fusion import Size, view_fusion


def relevance_to_cue(relevance: Tensor, *, scale: int = 16, root: float = 3.0) -> Tensor:
    """Upsample relevance to pixels, take a root that lifts weak parts, and stretch every map to 0..1.

    Args:
        relevance: ``[..., h, w]`` float, not negative.
        scale: pixels per patch side; bilinear, align_corners=False.
        root: 3 for the classifier's cues, 1 leaves values as they are.

    Returns:
        ``[..., h * scale, w * scale]`` in 0..1; a constant map becomes 0.

    Raises:
        DataError: relevance is negative or not finite, so that the root has no meaning.
    """
    if not root > 0:
        raise ParameterError(f"root must be above 0, got {root}.")
    if not (torch.isfinite(relevance).all() and (relevance >= 0).all()):
        raise DataError("Relevance must be finite and not negative before a root is taken.")
    h, w = relevance.shape[-2:]
    cues = _resize(relevance, (h * scale, w * scale)) ** (1 / root)
    low = cues.amin(dim=(-2, -1), keepdim=True)
    span = cues.amax(dim=(-2, -1), keepdim=True) - low
    return torch.where(span > 0, (cues - low) / span, 0.0)


def merge_mirrored(plain: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize the cues of an image and of its mirror image to the image and average them.

    Args:
        plain, mirrored: ``[..., h, w]`` float; the second as computed on the mirrored image.
        size: (H, W) of the image.

    Returns:
        ``[..., H, W]``.
    """
    if plain.shape != mirrored.shape:
        raise DataError(f"The two cues differ in shape: {tuple(plain.shape)} and {tuple(mirrored.shape)}.")
    return (_resize(plain, size) + _resize(mirrored, size).flip(-1)) / 2


@view_fusion("cues")
def cues(views: list[Tensor], flips: list[bool], size: Size, *, scale: int = 16, root: float = 3.0) -> Tensor:
    """[Re]'s cues: each view enlarged, root, stretched to 0..1; plain and mirrored averaged at the image's size."""
    if flips != [False, True]:
        raise ParameterError("fusion 'cues' needs one scale and flip: true.")
    plain, mirrored = (relevance_to_cue(view, scale=scale, root=root) for view in views)
    return merge_mirrored(plain, mirrored, size)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    resized = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
    return constants_kept(maps, resized.reshape(*maps.shape[:-2], *size))
