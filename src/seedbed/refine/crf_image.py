"""The image that a dense CRF sees: the file's own, or one rebuilt from a network's normalised input."""

from collections.abc import Sequence

import numpy as np

from seedbed.data.normalisations import NORMALISATIONS
from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.refine.crf_input import check_image
from seedbed.settings.checked import checked

MEAN, STD = NORMALISATIONS["imagenet"]
REBUILT = {"rebuilt": np.float32, "rebuilt_float64": np.float64}
"""What the image was normalised in before it is rebuilt."""


@checked
def picture_for_crf(image: np.ndarray, how: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return what published code shows its CRF instead of an image, uint8 [H, W, 3].

    Args:
        image: ``[H, W, 3]`` uint8.
        how: ``own``, the image itself; ``rebuilt`` from pixels normalised in float32 (MCTformer, TransCAM's
            segmentation), or ``rebuilt_float64``, normalised in float64 and stored in float32 (TransCAM's walk). That
            decides which bytes come back one too low, see `picture_from_normalised`: a quarter of them, or nearly half.
        size: (H, W) to pad to, right and below, by 0 in normalised pixels, which is the mean colour; None: no padding.

    Raises:
        DataError: the image is none.
        ParameterError: ``how`` is unknown, or the size smaller than the image.
    """
    shown = _unpadded(check_image(image), how)
    if size is None or tuple(size) == shown.shape[:2]:
        return shown
    if size[0] < shown.shape[0] or size[1] < shown.shape[1]:
        raise ParameterError(f"An image of {shown.shape[:2]} pixels cannot be padded to {tuple(size)}.")
    padded = picture_from_normalised(np.zeros((3, *size), np.float32))
    padded[: shown.shape[0], : shown.shape[1]] = shown
    return padded


def _unpadded(image: np.ndarray, how: str) -> np.ndarray:
    if how == "own":
        return image
    if how not in REBUILT:
        raise ParameterError(unknown_name("image for the CRF", how, ("own", *REBUILT)))
    kind = REBUILT[how]
    normalised = (image / kind(255) - np.array(MEAN, kind)) / np.array(STD, kind)
    return picture_from_normalised(normalised.transpose(2, 0, 1))


@checked
def picture_from_normalised(
    normalised: np.ndarray, mean: Sequence[float] = MEAN, std: Sequence[float] = STD, *, scale: float = 255.0
) -> np.ndarray:
    """Undo the normalisation in float32 and cut off the fraction, as the code of MCTformer, TransCAM and AFA does.

    ``(normalised * std + mean) * scale``. Cutting instead of rounding makes about one byte in ten one too low; it is
    kept because the published pseudo masks were made with it. Zero padding after normalisation becomes the mean colour.

    Args:
        normalised: ``[3, H, W]`` float, ``(image / scale - mean) / std``.
        mean, std: per channel, in 0..1 (MCTformer, TransCAM), or in grey levels with ``scale=1`` (AFA: 123.675, 116.28,
            103.53 and 58.395, 57.12, 57.375).
        scale: from the units of ``mean`` to grey levels.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    if normalised.ndim != 3 or normalised.shape[0] != 3 or not np.isfinite(normalised).all():
        raise DataError(f"Need a normalised image [3, H, W] of finite numbers, got {normalised.shape}.")
    if len(mean) != 3 or len(std) != 3:
        raise ParameterError(f"mean and std need 3 numbers, one per channel, got {mean} and {std}.")
    channels_last = normalised.astype(np.float32).transpose(1, 2, 0)
    grey = (channels_last * np.asarray(std, np.float32) + np.asarray(mean, np.float32)) * np.float32(scale)
    return grey.clip(0, 255).astype(np.uint8)
