"""How far a score would move with other images: the percentile bootstrap."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from seedbed.errors import DataError
from seedbed.evaluate.confusion import ConfusionMatrix
from seedbed.settings.checked import checked

RESAMPLES = 1000


@checked
def bootstrap_miou(
    matrices: Sequence[ConfusionMatrix], convention: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mIoU over images: its 2.5th and 97.5th percentile over resamples of the images.

    Each resample draws as many images as there are, with replacement, and sums their counts (B. Efron, "Bootstrap
    methods", Annals of Statistics 1979).

    Args:
        matrices: one an image, of the same classes.
        convention: see `ConfusionMatrix.miou`.
        resamples: how many.
        seed: of the draws.

    Raises:
        DataError: there is no image, or none with a labelled pixel.
    """
    if not matrices:
        raise DataError("An interval over images needs images.")
    confusions = [np.asarray(matrix.to_dict()["counts"]) for matrix in matrices]
    shape = confusions[0].shape
    counts = csr_array(np.stack([np.ravel(confusion) for confusion in confusions]))
    draws = np.random.default_rng(seed).multinomial(len(matrices), [1 / len(matrices)] * len(matrices), size=resamples)
    scores = [_miou(drawn, shape, convention) for drawn in draws @ counts]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def _miou(counts: np.ndarray, shape: tuple[int, ...], convention: str) -> float:
    return ConfusionMatrix.from_dict({"num_classes": shape[0], "counts": counts.reshape(shape)}).miou(convention)
