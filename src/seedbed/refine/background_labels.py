"""Confident labels where background wins over foreground (PSA; [Re])."""

import numpy as np

from seedbed.refine.confident import IGNORE, label_rule


@label_rule("psa", ignore_unscored=True)
@label_rule("vit_affinity")  # it never pads
def background_wins(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A pixel that the low run calls foreground and the high run background is background."""
    return np.where(high == 0, np.uint8(0), np.where(low == 0, np.uint8(IGNORE), low))
