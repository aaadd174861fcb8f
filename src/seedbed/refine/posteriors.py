"""Dense CRF posteriors under two backgrounds: what confident affinity labels are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.io.heatmaps import BACKGROUND, HeatMaps
from seedbed.refine.background import with_background, with_constant_background
from seedbed.refine.crf import dense_crf_many
from seedbed.refine.crf_image import picture_for_crf
from seedbed.refine.crf_labels import label_crf
from seedbed.refine.refiners import required
from seedbed.refine.resize import at_picture_size
from seedbed.settings.dense_crf import CrfSettings


@dataclass(frozen=True)
class PosteriorSettings:
    """The two backgrounds: exponents, or constants instead of them.

    Attributes:
        alpha_low, alpha_high: exponents that leave only confident foreground, and only confident background.
        constants: the same as constant scores.
        image: what the CRF sees, see `picture_for_crf`.
        among: with constants, labels that the label CRF spreads its doubt over: `all` of the data set's, or background
            and the image's `own` (IRN).
        store_stride: posteriors are kept at ``1 / store_stride`` of the image's size.
    """

    alpha_low: float | None = None
    alpha_high: float | None = None
    constants: tuple[float, float] | None = None
    image: str = "own"
    among: str = "all"
    store_stride: int = 1


def confident_posteriors(
    index: DataIndex,
    records: Sequence[Record],
    heatmaps: Mapping[str, HeatMaps],
    labels: PosteriorSettings,
    crf: CrfSettings,
) -> Iterator[tuple[str, HeatMaps, HeatMaps]]:
    """Yield (image id, posteriors of the low run, of the high one), each [K + 1, H, W], background first.

    The low run's background claims much, so what stays foreground is confident; the high run's the reverse ([Re],
    section 4.3; PSA, section 3.2). With exponents, the CRF's lattice is built once an image. With constants
    (TransCAM, IRN) the winners are smoothed by a label CRF, and the posteriors are 0 or 1. Stored are means of squares
    of ``labels.store_stride`` pixels.
    """
    images = read_ahead(
        records, lambda record: (record, picture_for_crf(read_picture(index.root / record.path), labels.image))
    )
    for record, image in images:
        heat = at_picture_size(heatmaps[record.image])
        maps = np.clip(heat.maps, 0, 1)
        classes = np.concatenate([[BACKGROUND], heat.classes])
        if labels.constants is None:
            alphas = (required(labels.alpha_low, "alpha_low"), required(labels.alpha_high, "alpha_high"))
            low, high = dense_crf_many(image, [with_background(maps, alpha) for alpha in alphas], crf)
        else:
            own = labels.among == "own"
            named = np.arange(BACKGROUND, len(maps)) if own else classes
            count = len(named) if own else len(index.classes) + 1
            low, high = (_smoothed(image, maps, named, score, count, crf) for score in labels.constants)
        low, high = (_smaller(stack, labels.store_stride) for stack in (low, high))
        yield record.image, heat._replace(classes=classes, maps=low), heat._replace(classes=classes, maps=high)


def _smaller(stack: np.ndarray, stride: int) -> np.ndarray:
    """Means of squares of ``stride`` pixels: [K, H, W] to [K, ceil(H / stride), ceil(W / stride)]."""
    if stride == 1:
        return stack
    import torch  # heavy, and most labels keep every pixel
    import torch.nn.functional as F

    size = tuple(-(-side // stride) for side in stack.shape[-2:])
    return F.interpolate(torch.from_numpy(stack)[None], size, mode="area")[0].numpy()


def _smoothed(
    image: np.ndarray, maps: np.ndarray, classes: np.ndarray, score: float, count: int, settings: CrfSettings
) -> np.ndarray:
    """The winners over a constant background after a label CRF, one-hot float32 [K + 1, H, W]."""
    winners = (classes + 1)[with_constant_background(maps, score).argmax(axis=0)]
    smoothed = label_crf(image, winners, count, preset=settings)
    return (smoothed == (classes + 1)[:, None, None]).astype(np.float32)
