"""The picture that CLIP-ES shows its CRF: colours in the wrong order, less a mean, wrapped around."""

import numpy as np

from seedbed.refine.crf_input import check_image

BGR_MEAN = (104.008, 116.669, 122.675)
"""Of ImageNet, blue first, as the published code of DeepLab takes it off."""


def bgr_less_mean(image: np.ndarray) -> np.ndarray:
    """Return what CLIP-ES's code makes of an RGB image, uint8 [H, W, 3]: blue first, ``BGR_MEAN`` taken off, cut to a
    whole number and wrapped around at 0, so that a colour just below the mean lies far from one just above it.

    Raises:
        DataError: the image is none.
    """
    shifted = check_image(image)[..., ::-1].astype(np.float32) - np.array(BGR_MEAN, np.float32)
    return np.trunc(shifted).astype(np.int64).astype(np.uint8)
