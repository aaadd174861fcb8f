"""What a dense CRF takes: an image and probabilities, or the reason why not."""

import numpy as np

from seedbed.errors import DataError
from seedbed.refine.energies import Array
from seedbed.settings.checked import taken


def check_image(image: Array) -> Array:
    """Return the image C-contiguous and writable (pydensecrf takes no other), or say why it cannot be used."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        shape = getattr(image, "shape", type(image).__name__)
        raise DataError(f"The CRF needs a colour image as a numpy array [H, W, 3], got {shape}.")
    if image.dtype != np.uint8:
        raise DataError(
            f"The CRF needs a uint8 image of 0..255, got {image.dtype}. Undo the normalisation and round first."
        )
    return np.require(image, requirements=["C", "W"])


def check_probabilities(probabilities: Array, image: Array) -> Array:
    """Return probabilities ``[K, H, W]`` of a checked image in float32 or float64, or say why they cannot be used."""
    stack = taken("probabilities", probabilities, np.ndarray)
    if stack.ndim != 3 or len(stack) == 0 or stack.shape[1:] != image.shape[:2]:
        height, width = image.shape[:2]
        raise DataError(
            f"Probabilities of shape {stack.shape} do not fit an image of {height} x {width}: need [K, H, W]."
        )
    if stack.dtype not in (np.float32, np.float64):
        stack = stack.astype(np.float32)
    low, high = float(stack.min()), float(stack.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise DataError(f"CRF probabilities must be finite and lie in 0..1, got {low:.6g} to {high:.6g}.")
    return stack


def distribution(scores: Array) -> Array:
    """Scores [K, H, W] >= 0 as probabilities of each pixel's labels, float32; where all are 0 they stay 0."""
    return (scores / np.maximum(scores.sum(0, keepdims=True), 1e-12)).astype(np.float32)
