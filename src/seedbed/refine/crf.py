"""Dense conditional random field (Krähenbühl and Koltun, NeurIPS 2011) with the papers' settings.

The energy of a labelling is a unary term ``-log p`` a pixel plus, for every pair of pixels with different labels, a
Gaussian of their distance and a bilateral Gaussian of distance and colour. Mean-field inference filters the label
distributions on a permutohedral lattice; the lattice depends on the image alone.

Two implementations compute the same up to rounding: ``lattice``, of tensor operations, which filters all labels of all
runs of an image at once, and ``pydensecrf``, the reference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from seedbed.errors import ParameterError, unknown_name
from seedbed.refine.crf_input import check_image, check_probabilities
from seedbed.refine.energies import Array, Energies
from seedbed.settings.checked import check_fields, checked
from seedbed.settings.dense_crf import CrfSettings

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


@checked
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
        ParameterError: unknown preset or implementation, negative iterations, a scale factor not above 0, kernels too
            narrow for a lattice.
    """
    return dense_crf_many(image, [probabilities], preset, iterations=iterations, scale_factor=scale_factor)[0]


@checked
def dense_crf_labels(
    image: Array,
    probabilities: Array,
    preset: str | CrfSettings = "psa",
    *,
    iterations: int | None = None,
    scale_factor: float = 1.0,
) -> Array:
    """Return ``[H, W]`` int64, the argmax of `dense_crf` over the channels."""
    return dense_crf(image, probabilities, preset, iterations=iterations, scale_factor=scale_factor).argmax(axis=0)


@checked
def dense_crf_many(
    image: Array,
    probabilities: Iterable[Array],
    preset: str | CrfSettings = "psa",
    *,
    iterations: int | None = None,
    scale_factor: float = 1.0,
) -> list[Array]:
    """Run `dense_crf` for several score stacks of one image, which share its lattices.

    The usual case is the same cues under two background exponents. Results are bit for bit those of separate runs.
    """
    image = check_image(image)
    stacks = [check_probabilities(stack, image) for stack in probabilities]
    settings = resolve_settings(preset, iterations, scale_factor)
    if settings.implementation == "pydensecrf":
        energies = [Energies(_unary(stack), np.ones(len(stack), np.int64)) for stack in stacks]
        return infer(image, energies, settings)
    groups = [_groups(stack.reshape(len(stack), -1).max(axis=1) <= MIN_PROBABILITY) for stack in stacks]
    energies = [
        grouped(_unary(stack[[group[0] for group in of]]), of) for stack, of in zip(stacks, groups, strict=True)
    ]
    found = infer(image, energies, settings)
    return [_ungrouped(posteriors, of) for posteriors, of in zip(found, groups, strict=True)]


def infer(image: Array, energies: Sequence[Energies], settings: CrfSettings) -> list[Array]:
    """Return the posteriors of each run's groups, ``[G, H, W]`` float32."""
    if settings.implementation == "pydensecrf":
        from seedbed.refine.crf_reference import reference_posteriors

        return reference_posteriors(image, energies, settings)
    import torch

    from seedbed.refine.mean_field_inference import image_kernels, mean_field

    runs, counts = [len(run.unary) for run in energies], np.concatenate([run.counts for run in energies])
    unary = np.concatenate([run.unary.reshape(len(run.unary), -1) for run in energies], dtype=np.float32)
    kernels = image_kernels(
        image,
        (settings.gaussian_sxy, settings.gaussian_weight),
        (settings.bilateral_sxy, settings.bilateral_srgb, settings.bilateral_weight),
        torch.device("cpu"),
    )
    lowered = torch.from_numpy(unary).sub_(torch.from_numpy(np.log(counts)).float()[:, None])
    shares = None if (counts == 1).all() else torch.from_numpy(1 / counts).float()
    found = mean_field(kernels, lowered, runs, settings.iterations, shares)
    return [part.view(-1, *image.shape[:2]).numpy() for part in found.split(runs)]


def grouped(unary: Array, groups: Sequence[Sequence[int]]) -> Energies:
    """Return energies ``[G, H, W]`` of groups of labels."""
    return Energies(unary, np.array([len(group) for group in groups]))


def _groups(alike: Array) -> list[list[int]]:
    """Group labels: those that are alike in one, each other alone; in the order of each group's first label."""
    together = np.flatnonzero(alike).tolist()
    groups = [[label] for label in range(len(alike)) if not alike[label]] + ([together] if together else [])
    return sorted(groups, key=lambda group: group[0])


def _ungrouped(posteriors: Array, groups: Sequence[Sequence[int]]) -> Array:
    """Share each group's posterior ``[G, H, W]`` among its labels, ``[K, H, W]``."""
    if all(len(group) == 1 for group in groups):
        return posteriors
    result = np.empty((sum(map(len, groups)), *posteriors.shape[1:]), np.float32)
    for row, group in zip(posteriors, groups, strict=True):
        result[group] = row / len(group)
    return result


def _unary(stack: Array) -> Array:
    return -np.log(np.clip(stack, MIN_PROBABILITY, 1.0))


@checked
def resolve_settings(preset: str | CrfSettings, iterations: int | None, scale_factor: float) -> CrfSettings:
    """Return the settings of a preset with the iterations replaced and both spatial widths divided.

    Raises:
        ParameterError: a value is not finite, of the wrong kind or out of its range.
    """
    if not isinstance(preset, CrfSettings):
        if preset not in CRF_PRESETS:
            raise ParameterError(unknown_name("CRF preset", preset, CRF_PRESETS))
        preset = CRF_PRESETS[preset]
    check_fields(preset)
    steps = preset.iterations if iterations is None else iterations
    if steps < 0:
        raise ParameterError(f"CRF iterations must be 0 or more, got {steps}.")
    if not scale_factor > 0:
        raise ParameterError(f"CRF scale_factor must be above 0, got {scale_factor}.")
    return replace(
        preset,
        gaussian_sxy=preset.gaussian_sxy / scale_factor,
        bilateral_sxy=preset.bilateral_sxy / scale_factor,
        iterations=steps,
    )
