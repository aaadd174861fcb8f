"""Confident labels for an affinity network: what two CRF runs agree on, and what stays undecided.

The "low" run has a small background exponent and leaves only confident foreground; the "high" run has a large one and
leaves only confident background (PSA, Ahn and Kwak, CVPR 2018).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from seedbed.errors import DataError, ParameterError
from seedbed.io.catalogue import Catalogue
from seedbed.settings.checked import checked

IGNORE = 255
NO_SCORE = 1e-5

Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]


class LabelRule(NamedTuple):
    """How two runs become one label.

    Attributes:
        combine: takes the label maps of the low (uint8) and of the high run, gives uint8; 255 is undecided.
        ignore_unscored: whether its paper leaves cells without any score, where a crop was padded, undecided.
        first_pixel: whether its paper takes the label of each cell's first pixel instead of the cell's mean scores.
    """

    combine: Combine
    ignore_unscored: bool
    first_pixel: bool


RULES: Catalogue[LabelRule] = Catalogue("confident-label rule", "seedbed.refine", "label_rule")


def label_rule(name: str, *, ignore_unscored: bool = False, first_pixel: bool = False) -> Callable[[Combine], Combine]:
    """Register the decorated function as a rule; see `LabelRule`."""

    def register(combine: Combine) -> Combine:
        RULES.enter(name, LabelRule(combine, ignore_unscored, first_pixel))
        return combine

    return register


@checked
def confident_labels(low: np.ndarray, high: np.ndarray, rule: str = "psa") -> np.ndarray:
    """Combine the label maps of the low and the high run.

    A foreground label of the low run counts, background of the high run counts, the rest is 255. The rules differ
    where the low run says foreground and the high run background.

    Args:
        low, high: ``[..., h, w]`` integer label maps, 0 background.
        rule: name of the precedence rule.

    Returns:
        ``[..., h, w]`` uint8: 0 background, the low run's label, 255 undecided.
    """
    combine = RULES.find(rule).combine
    if low.shape != high.shape:
        raise DataError(f"The low and high maps differ in shape: {low.shape} and {high.shape}.")
    return combine(low.astype(np.uint8), high)


@checked
def confident_labels_from_scores(
    low: np.ndarray, high: np.ndarray, *, rule: str = "psa", pool: int = 8, ignore_unscored: bool | None = None
) -> np.ndarray:
    """Pool the posteriors of both runs to the feature grid, take the argmax of each and combine them.

    Args:
        low, high: ``[K, H, W]`` float, background first; label ``k`` is channel ``k``.
        rule: as in `confident_labels`.
        pool: side of the mean-pooling window.
        ignore_unscored: make cells 255 where every pooled score of both runs is below 1e-5, which is where a crop was
            padded. None: as the rule's paper does it (``psa`` yes, ``vit_affinity`` no, it never pads).

    Returns:
        ``[ceil(H / pool), ceil(W / pool)]`` uint8.
    """
    if low.shape != high.shape or low.ndim != 3:
        raise DataError(f"Need two score stacks [K, H, W] of one shape, got {low.shape} and {high.shape}.")
    low, high = mean_pool(low, pool), mean_pool(high, pool)
    label = confident_labels(low.argmax(axis=0), high.argmax(axis=0), rule)
    if RULES.find(rule).ignore_unscored if ignore_unscored is None else ignore_unscored:
        label[np.maximum(low.max(axis=0), high.max(axis=0)) < NO_SCORE] = IGNORE
    return label


@checked
def mean_pool(maps: np.ndarray, size: int = 8) -> np.ndarray:
    """Average ``[..., H, W]`` maps over ``size x size`` windows; a ragged edge is padded with zeros, as recorded.

    Returns:
        ``[..., ceil(H / size), ceil(W / size)]``; float maps keep their dtype, integers become float64.
    """
    if size < 1:
        raise ParameterError(f"The pooling window must be 1 or larger, got {size}.")
    h, w = maps.shape[-2:]
    bottom, right = -h % size, -w % size
    if bottom or right:
        maps = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(0, bottom), (0, right)])
    cells = maps.reshape(*maps.shape[:-2], (h + bottom) // size, size, (w + right) // size, size)
    return cells.mean(axis=(-3, -1))
