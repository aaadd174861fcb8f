"""WeakTr's loss of its classifier (Zhu et al., arXiv 2304.01184)."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from seedbed.models.weaktr import WeakTr
from seedbed.train.backbone_losses import Classification, Reading
from seedbed.train.objectives import loss


def read_weaktr(model: Any, images: Tensor, labels: Tensor, record: str | None) -> Reading:
    """Soft margin losses of class tokens, patch head and fine maps, weight 1 each, and the patch head's maps.

    The third trains the fusion of the heads alone. Its logits are means of maps that are never negative, so that each
    class that is absent costs log 2 at least, as published.

    Args:
        model: a `WeakTr`.
        images: [B, 3, H, W].
        labels: [B, C] multi-hot.
        record: ``"mean"`` to keep attention and scores.
    """
    output = model(images, attention=record, scores=record)
    losses = {name: F.multilabel_soft_margin_loss(logits.float(), labels) for name, logits in output.heads.items()}
    return Reading(losses, output.patch_maps, output.attention, output.scores)


@loss("weaktr")
def weaktr() -> Classification:
    """WeakTr's loss."""
    return Classification(WeakTr, read_weaktr)
