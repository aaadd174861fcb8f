"""Class activation maps multiplied by an attention affinity matrix, so that related patches share their activation."""

import torch
from torch import Tensor

from seedbed.errors import DataError
from seedbed.refine.background import with_constant_background
from seedbed.settings.checked import checked


@checked
def propagate(cams: Tensor, affinity: Tensor, *, transpose: bool = False) -> Tensor:
    """Give every patch the affinity-weighted sum of all patches: ``out_i = sum_j A_ij cam_j``.

    AReAM equation 9 (``M A^T``), MCTformer's patch-affinity refinement and TransCAM. Rows are used as they are:
    attention cut down to patch columns sums to less than 1, which only scales a map that is normalised later anyway.

    Args:
        cams: ``[B, C, h, w]`` or ``[C, h, w]`` float.
        affinity: ``[B, N, N]`` or ``[N, N]`` float with ``N = h * w``; one matrix serves a whole batch.
        transpose: use ``A^T`` (the attention a patch receives) instead of ``A`` (the attention it pays).

    Returns:
        The propagated maps, in the shape of ``cams``.

    Raises:
        DataError: the matrix does not fit the grid or the batch, or one of both is not floating point.
    """
    _check(cams, affinity)
    kind = torch.promote_types(cams.dtype, affinity.dtype)
    matrix = (affinity if transpose else affinity.mT).to(kind)
    return (cams.to(kind).flatten(-2) @ matrix).reshape(cams.shape)


@checked
def propagate_sharpened(
    cams: Tensor, affinity: Tensor, *, window: Tensor | None = None, power: float = 2.0, eps: float = 1e-4
) -> Tensor:
    """AFA's propagation: local, squared, column-normalised affinity; ``out_j = sum_i cam_i P_ij``.

    ``P_ij = A_ij^power / (sum_i A_ij^power + eps)``, with ``A`` set to 0 outside ``window``.

    Args:
        cams: ``[B, C, h, w]`` or ``[C, h, w]`` float.
        affinity: ``[B, N, N]`` or ``[N, N]`` float, non-negative.
        window: ``[N, N]`` bool or 0/1, the pairs that may exchange activation; None keeps all.
        power: sharpening exponent.
        eps: added to each column sum.

    Returns:
        The propagated maps, in the shape of ``cams``.
    """
    _check(cams, affinity)
    if window is not None:
        if window.shape != affinity.shape[-2:]:
            raise DataError(f"The window {tuple(window.shape)} does not fit an affinity of {tuple(affinity.shape)}.")
        affinity = affinity * window.to(affinity)
    sharp = affinity**power
    transition = sharp / (sharp.sum(dim=-2, keepdim=True) + eps)
    return propagate(cams, transition, transpose=True)


@checked
def propagate_with_background(
    cams: Tensor,
    affinity: Tensor,
    labels: Tensor,
    *,
    background: float = 0.35,
    window: Tensor | None = None,
    power: float = 2.0,
    eps: float = 0.1,
) -> Tensor:
    """AFA's propagation of background and present classes together, after a softmax over those channels.

    Args:
        cams: ``[B, C, h, w]`` float in 0..1.
        affinity: ``[B, N, N]`` float, non-negative.
        labels: ``[B, C]``, non-zero where a class is present.
        background: constant background score, before the softmax.
        window, power, eps: as in `propagate_sharpened`.

    Returns:
        ``[B, C + 1, h, w]``, background first; channels of absent classes are 0.
    """
    if cams.ndim != 4 or labels.shape != cams.shape[:2]:
        raise DataError(f"Need maps [B, C, h, w] and labels [B, C], got {tuple(cams.shape)} and {tuple(labels.shape)}.")
    _check(cams, affinity)
    stack = with_constant_background(cams, background)
    present = torch.cat([labels.new_ones(len(labels), 1), labels], dim=1).bool()[:, :, None, None]
    # exp(-inf) = 0: absent classes take no part in the softmax and stay 0 afterwards.
    scores = stack.masked_fill(~present, float("-inf")).softmax(dim=1)
    return propagate_sharpened(scores, affinity, window=window, power=power, eps=eps)


def _check(cams: Tensor, affinity: Tensor) -> None:
    if cams.ndim not in (3, 4) or affinity.ndim not in (2, 3):
        raise DataError(
            f"Need maps [B, C, h, w] or [C, h, w] and an affinity [B, N, N] or [N, N], got {tuple(cams.shape)} and "
            f"{tuple(affinity.shape)}."
        )
    if not (cams.is_floating_point() and affinity.is_floating_point()):
        raise DataError(f"Maps and affinities must be floating point, got {cams.dtype} and {affinity.dtype}.")
    h, w = cams.shape[-2:]
    if affinity.shape[-2:] != (h * w, h * w):
        raise DataError(
            f"Maps of {h} x {w} patches need an affinity of {h * w} x {h * w}, got {tuple(affinity.shape)}."
        )
    if affinity.ndim == 3 and (cams.ndim == 3 or len(cams) != len(affinity)):
        raise DataError(f"Batch sizes differ: maps {tuple(cams.shape)}, affinity {tuple(affinity.shape)}.")
