"""Confident labels where foreground wins over background (TransCAM)."""

import numpy as np

from seedbed.refine.confident import IGNORE, label_rule


@label_rule("transcam", first_pixel=True)
def foreground_wins(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A pixel that the low run calls foreground and the high run background keeps the low run's class."""
    return np.where(low != 0, low, np.where(high == 0, np.uint8(0), np.uint8(IGNORE)))
