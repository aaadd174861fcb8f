"""Dense conditional random field (Krähenbühl and Koltun, NeurIPS 2011) through pydensecrf, with the papers' settings.

The energy of a labelling is a unary term ``-log p`` a pixel plus, for every pair of pixels with different labels, a
Gaussian of their distance and a bilateral Gaussian of distance and colour. Mean-field inference filters the label
distributions on a permutohedral lattice; the lattice depends on the image alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from seedbed.errors import DataError, ParameterError, missing_extra, unknown_name
from seedbed.settings.dense_crf import CrfSettings

if TYPE_CHECKING:
    from pydensecrf.densecrf import DenseCRF2D

Array = np.ndarray


CRF_PRESETS: dict[str, CrfSettings] = {
    # PSA, [Re] and MCTformer, on class maps with a background channel.
    "psa": CrfSettings(3, 3, 80, 13, 10, iterations=10),
    # MCTformer's segmentation network, at test time.
    "mctformer_seg": CrfSettings(4, 3, 83, 5, 3, iterations=10),
    # TransCAM's DeepLab, at test time.
    "deeplab_transcam": CrfSettings(3, 3, 32, 13, 10, iterations=1),
    # AFA's segmentation network, at test time.
    "afa_test": CrfSettings(3, 3, 64, 5, 4, iterations=10),
    # AFA and TransCAM, on hard label maps (see `label_crf`).
    "label_crf": CrfSettings(3, 3, 50, 5, 10, iterations=10),
}

MIN_PROBABILITY = 1e-5


def dense_crf(
    image: Array,
    probabilities: Array,
    preset: str | CrfSettings = "psa",
    *,
    iterations: int | None = None,
    scale_factor: float = 1.0,
) -> Array:
    """Return the CRF's label posteriors for one image.

    The unary term is ``-log(clip(p, 1e-5, 1))``; the channels need not sum to 1.

    Args:
        image: ``[H, W, 3]`` uint8.
        probabilities: ``[K, H, W]`` float in 0..1.
        preset: a name in `CRF_PRESETS`, or settings.
        iterations: mean-field iterations, instead of the preset's; 0 gives the normalised unary term.
        scale_factor: divides both spatial widths, for an image shrunk by that factor.

    Returns:
        ``[K, H, W]`` float32, summing to 1 over K.

    Raises:
        DataError: the image is not uint8 ``[H, W, 3]``, the sizes differ, or values are not finite and in 0..1.
        ParameterError: unknown preset, negative iterations, a scale factor not above 0.
    """
    options = {"iterations": iterations, "scale_factor": scale_factor}
    return dense_crf_many(image, [probabilities], preset, **options)[0]


def dense_crf_labels(
    image: Array,
    probabilities: Array,
    preset: str | CrfSettings = "psa",
    *,
    iterations: int | None = None,
    scale_factor: float = 1.0,
) -> Array:
    """Return ``[H, W]`` int64, the argmax of `dense_crf` over the channels."""
    options = {"iterations": iterations, "scale_factor": scale_factor}
    return dense_crf(image, probabilities, preset, **options).argmax(axis=0)


def dense_crf_many(
    image: Array,
    probabilities: Iterable[Array],
    preset: str | CrfSettings = "psa",
    *,
    iterations: int | None = None,
    scale_factor: float = 1.0,
) -> list[Array]:
    """Run `dense_crf` for several score stacks of one image; stacks with equal ``K`` share one lattice.

    The usual case is the same cues under two background exponents. Results are bit for bit those of separate runs.
    """
    image = check_image(image)
    stacks = [_check_probabilities(stack, image) for stack in probabilities]
    settings = resolve_settings(preset, iterations, scale_factor)
    fields: dict[int, DenseCRF2D] = {}
    results = []
    for stack in stacks:
        if len(stack) not in fields:
            fields[len(stack)] = build_field(image, len(stack), settings)
        unary = -np.log(np.clip(stack, MIN_PROBABILITY, 1.0))
        results.append(infer(fields[len(stack)], unary, settings.iterations))
    return results


def resolve_settings(preset: str | CrfSettings, iterations: int | None, scale_factor: float) -> CrfSettings:
    """Return the settings of a preset with the iterations replaced and both spatial widths divided."""
    if isinstance(preset, str):
        if preset not in CRF_PRESETS:
            raise ParameterError(unknown_name("CRF preset", preset, CRF_PRESETS))
        preset = CRF_PRESETS[preset]
    steps = preset.iterations if iterations is None else iterations
    if steps < 0:
        raise ParameterError(f"CRF iterations must be 0 or more, got {steps}.")
    if not scale_factor > 0:
        raise ParameterError(f"CRF scale_factor must be above 0, got {scale_factor}.")
    return CrfSettings(
        preset.gaussian_sxy / scale_factor,
        preset.gaussian_weight,
        preset.bilateral_sxy / scale_factor,
        preset.bilateral_srgb,
        preset.bilateral_weight,
        steps,
    )


def build_field(image: Array, labels: int, settings: CrfSettings, label_weights: Array | None = None) -> DenseCRF2D:
    """Build the lattices of an image. ``label_weights`` ``[K]`` scales the Potts weight a label at a time.

    Raises:
        UserError: pydensecrf is not installed.
    """
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ModuleNotFoundError as error:
        raise missing_extra("The dense CRF", "crf", error) from None
    height, width = image.shape[:2]
    field = DenseCRF2D(width, height, labels)

    def compatibility(weight: float) -> float | Array:
        # pydensecrf negates a number (Potts) but takes a diagonal as it is.
        return weight if label_weights is None else (-weight * label_weights).astype(np.float32)

    field.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=compatibility(settings.gaussian_weight))
    field.addPairwiseBilateral(
        sxy=settings.bilateral_sxy,
        srgb=settings.bilateral_srgb,
        rgbim=image,
        compat=compatibility(settings.bilateral_weight),
    )
    return field


def infer(field: DenseCRF2D, unary: Array, iterations: int) -> Array:
    """Run mean-field inference from a unary energy ``[K, H, W]``; the field can be used again with another one."""
    energy = np.ascontiguousarray(unary.reshape(len(unary), -1), dtype=np.float32)
    field.setUnaryEnergy(energy)
    return np.array(field.inference(iterations), dtype=np.float32).reshape(unary.shape)


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


def _check_probabilities(probabilities: Array, image: Array) -> Array:
    stack = np.asarray(probabilities)
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
