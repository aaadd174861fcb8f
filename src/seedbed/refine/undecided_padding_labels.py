"""Confident labels where foreground wins over background, and padding is undecided (IRN)."""

import numpy as np

from seedbed.refine.confident import label_rule
from seedbed.refine.foreground_labels import foreground_wins


@label_rule("irn", ignore_unscored=True)
def foreground_wins_inside(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """As TransCAM's, for runs whose cells without scores are left out."""
    return foreground_wins(low, high)
