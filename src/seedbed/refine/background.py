"""The background channel in front of the class maps: a power of what no class claims, or a constant.

Works on numpy arrays and on torch tensors alike, and gives back the same kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from seedbed.errors import DataError, ParameterError
from seedbed.settings.checked import checked

if TYPE_CHECKING:
    import torch

Maps = TypeVar("Maps", "np.ndarray", "torch.Tensor")


@checked
def with_background(cams: Maps, alpha: float) -> Maps:
    """Prepend the background score ``(1 - max_c cam_c) ** alpha`` (PSA; [Re], section 4.3).

    A small alpha makes background claim much (what is left is confident foreground), a large one makes it claim little
    (what it keeps is confident background). The channels are scores, not probabilities: they need not sum to 1.

    Args:
        cams: ``[..., K, h, w]`` float, the present classes, in 0..1.
        alpha: exponent, above 0. PSA: 4 and 32 for labels, 16 for the random walk. MCTformer: 1 and 12. [Re]: 4 and 32,
            4.

    Returns:
        ``[..., K + 1, h, w]``, background first, dtype of ``cams``.

    Raises:
        DataError: ``cams`` has fewer than three axes, or a value that is NaN or above 1, where the formula has no
            meaning.
    """
    if not alpha > 0:
        raise ParameterError(f"alpha must be above 0, got {alpha}.")
    _check_axes(cams)
    if cams.shape[-3] == 0:
        return _prepend(1.0, cams)
    peak = cams.max(axis=-3, keepdims=True) if isinstance(cams, np.ndarray) else cams.amax(dim=-3, keepdim=True)
    if not (peak <= 1 + 1e-5).all():
        raise DataError(
            f"Class maps must lie in 0..1 for a power background; the largest value is {float(peak.max()):.6g}."
        )
    free = np.maximum(1 - peak, 0) if isinstance(cams, np.ndarray) else (1 - peak).clamp(min=0)
    return _join(free**alpha, cams)  # a peak that rounding left a hair above 1 has no power


@checked
def with_constant_background(cams: Maps, score: float) -> Maps:
    """Prepend a background channel that is ``score`` everywhere.

    The argmax over the result keeps background where a class only ties with it.

    Args:
        cams: ``[..., K, h, w]`` float, any range.
        score: the constant, in the units of ``cams``.

    Returns:
        ``[..., K + 1, h, w]``, background first, dtype of ``cams``.
    """
    _check_axes(cams)
    return _prepend(score, cams)


def _check_axes(cams: Maps) -> None:
    if cams.ndim < 3 or not str(cams.dtype).removeprefix("torch.").startswith(("float", "bfloat")):
        raise DataError(f"Class maps must be floating [..., K, h, w], got {cams.dtype} {tuple(cams.shape)}.")


def _prepend(score: float, cams: Maps) -> Maps:
    shape = (*cams.shape[:-3], 1, *cams.shape[-2:])
    if isinstance(cams, np.ndarray):
        return _join(np.full(shape, score, dtype=cams.dtype), cams)
    return _join(cams.new_full(shape, score), cams)


def _join(background: Maps, cams: Maps) -> Maps:
    if isinstance(cams, np.ndarray):
        return np.concatenate([background, cams], axis=-3)
    import torch

    return torch.cat([background, cams], dim=-3)
