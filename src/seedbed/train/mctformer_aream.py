"""MCTformer-V2's loss with AReAM (He et al. 2023)."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.mctformer import MCTformer
from seedbed.train.aream_loss import AReAM
from seedbed.train.mctformer_loss import read_mctformer
from seedbed.train.objectives import loss

MCTFORMER_THRESHOLDS = (0.15, 0.35)
MAPS = ("patch_cam", "fused")


@loss("mctformer_aream")
def mctformer_aream(
    *,
    thresholds: Sequence[float] = MCTFORMER_THRESHOLDS,
    maps: Literal["patch_cam", "fused"] = "patch_cam",
    **options: Any,
) -> AReAM:
    """MCTformer-V2's loss with AReAM; ``maps`` as in `read_mctformer`, the rest as in `AReAM`."""
    if maps not in MAPS:
        raise ParameterError(unknown_name("maps of MCTformer", maps, MAPS))
    return AReAM(MCTformer, partial(read_mctformer, maps=maps), thresholds=thresholds, **options)
