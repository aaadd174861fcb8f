"""Dense CRF on a hard label map: every pixel trusts its own label to a given degree."""

import numpy as np

from seedbed.errors import DataError, ParameterError
from seedbed.refine.crf import grouped, infer, resolve_settings
from seedbed.refine.crf_input import check_image
from seedbed.refine.energies import Array
from seedbed.settings.checked import checked
from seedbed.settings.dense_crf import CrfSettings


@checked
def label_crf(
    image: Array,
    label_map: Array,
    num_labels: int,
    *,
    confidence: float = 0.7,
    preset: str | CrfSettings = "label_crf",
    iterations: int | None = None,
    scale_factor: float = 1.0,
    merge_absent: bool = True,
) -> Array:
    """Smooth a label map with a dense CRF (AFA and TransCAM).

    The unary term is ``-log(confidence)`` for a pixel's own label and ``-log((1 - confidence) / (num_labels - 1))`` for
    every other. Labels that occur nowhere all have the same energies, so they are carried as one (see `Energies`),
    which gives the same map at the cost of the labels that do occur.

    Args:
        image: ``[H, W, 3]`` uint8.
        label_map: ``[H, W]`` integer, 0 .. num_labels - 1.
        num_labels: number of labels the uncertainty is spread over; 21 for VOC.
        confidence: trust in the given label, between 0 and 1.
        preset: a name in `CRF_PRESETS`, or settings.
        iterations: mean-field iterations, instead of the preset's.
        scale_factor: divides both spatial widths.
        merge_absent: False runs all labels one by one.

    Returns:
        ``[H, W]``, dtype of ``label_map``.

    Raises:
        DataError: sizes differ, or a label is outside 0 .. num_labels - 1 (resolve 255 first).
        ParameterError: fewer than two labels, or a confidence outside (0, 1).
    """
    image = check_image(image)
    settings = resolve_settings(preset, iterations, scale_factor)
    present = _check(image, label_map, num_labels, confidence)
    absent = np.setdiff1d(np.arange(num_labels), present)
    groups = [[label] for label in range(num_labels)]
    if merge_absent and len(absent) > 1:
        groups = [*([label] for label in present), list(absent)]
    # In the order of each group's first label, so that argmax breaks ties as it would over all labels.
    groups.sort(key=lambda group: group[0])

    other = -np.log((1 - confidence) / (num_labels - 1))
    unary = np.empty((len(groups), *label_map.shape), dtype=np.float32)
    for row, group in zip(unary, groups, strict=True):
        row[:] = other
        row[label_map == group[0]] = -np.log(confidence)
    energies = grouped(unary, groups)
    (posteriors,) = infer(image, [energies], settings)
    winners = (posteriors / energies.counts[:, None, None].astype(np.float32)).argmax(axis=0)
    return np.array([group[0] for group in groups], dtype=label_map.dtype)[winners]


def _check(image: Array, label_map: Array, num_labels: int, confidence: float) -> Array:
    """Return the labels that occur, ascending."""
    if num_labels < 2:
        raise ParameterError(f"num_labels must be 2 or more, got {num_labels}.")
    if not 0 < confidence < 1:
        raise ParameterError(f"confidence must lie between 0 and 1, got {confidence}.")
    if label_map.shape != image.shape[:2] or not np.issubdtype(label_map.dtype, np.integer):
        raise DataError(
            f"The label map must be integer {image.shape[:2]} like the image, got {label_map.dtype} {label_map.shape}."
        )
    present = np.unique(label_map)
    wrong = present[(present < 0) | (present >= num_labels)]
    if len(wrong):
        raise DataError(f"Label {wrong[0]} is outside 0..{num_labels - 1}; ignored pixels must get a label first.")
    return present
