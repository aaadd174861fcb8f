"""The picture a dense CRF sees when only the network's normalised input is at hand."""

from collections.abc import Sequence

import numpy as np

from seedbed.errors import DataError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def picture_from_normalised(
    normalised: np.ndarray, mean: Sequence[float] = MEAN, std: Sequence[float] = STD, *, scale: float = 255.0
) -> np.ndarray:
    """Undo the normalisation in float32 and cut off the fraction, as the code of MCTformer, TransCAM and AFA does.

    ``(normalised * std + mean) * scale``. Cutting instead of rounding makes about one byte in ten one too low; it is
    kept because the published pseudo masks were made with it. Zero padding after normalisation becomes the mean colour.

    Args:
        normalised: ``[3, H, W]`` float, ``(picture / scale - mean) / std``.
        mean, std: per channel, in 0..1 (MCTformer, TransCAM), or in grey levels with ``scale=1`` (AFA: 123.675, 116.28,
            103.53 and 58.395, 57.12, 57.375).
        scale: from the units of ``mean`` to grey levels.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    if normalised.ndim != 3 or normalised.shape[0] != 3:
        raise DataError(f"Need a normalised picture [3, H, W], got {normalised.shape}.")
    channels_last = normalised.astype(np.float32).transpose(1, 2, 0)
    grey = (channels_last * np.float32(std) + np.float32(mean)) * np.float32(scale)
    return grey.clip(0, 255).astype(np.uint8)
