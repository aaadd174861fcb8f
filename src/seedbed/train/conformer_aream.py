"""TransCAM's loss with AReAM (He et al. 2023)."""

from collections.abc import Sequence
from typing import Any

from seedbed.models.conformer import Conformer
from seedbed.train.aream_loss import AReAM
from seedbed.train.conformer_loss import read_conformer
from seedbed.train.objectives import loss

CONFORMER_THRESHOLDS = (0.35, 0.55)


@loss("conformer_aream")
def conformer_aream(*, thresholds: Sequence[float] = CONFORMER_THRESHOLDS, **options: Any) -> AReAM:
    """TransCAM's loss with AReAM; options as in `AReAM`."""
    return AReAM(Conformer, read_conformer, thresholds=thresholds, **options)
