"""Mean-field inference by pydensecrf, the published implementation of the dense CRF: the reference for our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seedbed.errors import missing_extra
from seedbed.refine.crf_input import check_image
from seedbed.refine.kernel_widths import extent, require_wide

if TYPE_CHECKING:
    from pydensecrf.densecrf import DenseCRF2D

    from seedbed.refine.energies import Array, Energies
    from seedbed.settings.dense_crf import CrfSettings


def reference_posteriors(image: Array, energies: Sequence[Energies], settings: CrfSettings) -> list[Array]:
    """Return the posteriors of each run's groups, ``[G, H, W]`` float32; runs with equal counts share one lattice.

    Args:
        image: ``[H, W, 3]`` uint8, C-contiguous and writable.
        energies, settings: of the CRF.

    Raises:
        UserError: pydensecrf is not installed.
        ParameterError: a kernel is so narrow that pydensecrf would end the process.
    """
    image = check_image(image)
    height, width = image.shape[:2]
    places = [extent(side - 1, settings.bilateral_sxy) for side in (width, height)]
    require_wide([extent(side - 1, settings.gaussian_sxy) for side in (width, height)])
    require_wide([*places, *[extent(255, settings.bilateral_srgb)] * 3])
    fields: dict[tuple[int, ...], DenseCRF2D] = {}
    results = []
    for unary, counts in energies:
        key = tuple(counts.tolist())
        if key not in fields:
            fields[key] = _field(image, counts, settings)
        lowered = (unary - np.log(counts)[:, None, None]).reshape(len(unary), -1)
        fields[key].setUnaryEnergy(np.ascontiguousarray(lowered, dtype=np.float32))
        results.append(np.array(fields[key].inference(settings.iterations), dtype=np.float32).reshape(unary.shape))
    return results


def _field(image: Array, counts: Array, settings: CrfSettings) -> DenseCRF2D:
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ModuleNotFoundError as error:
        raise missing_extra("The CRF implementation 'pydensecrf'", "crf", error) from None
    height, width = image.shape[:2]
    field = DenseCRF2D(width, height, len(counts))

    def compatibility(weight: float) -> float | Array:
        # pydensecrf negates a number (Potts) but takes a diagonal as it is.
        return weight if (counts == 1).all() else (-weight / counts).astype(np.float32)

    field.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=compatibility(settings.gaussian_weight))
    field.addPairwiseBilateral(
        sxy=settings.bilateral_sxy,
        srgb=settings.bilateral_srgb,
        rgbim=image,
        compat=compatibility(settings.bilateral_weight),
    )
    return field
