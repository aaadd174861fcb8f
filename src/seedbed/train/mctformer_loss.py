"""MCTformer's loss (Xu et al. 2022), and what AReAM reads of an MCTformer."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from seedbed.models.mctformer import MCTformer
from seedbed.models.mctformer_maps import CLASS_ATTENTION_LAYERS, fuse
from seedbed.train.backbone_losses import Classification, Reading
from seedbed.train.objectives import loss


def read_mctformer(model: Any, images: Tensor, labels: Tensor, record: str | None, maps: str = "patch_cam") -> Reading:
    """Soft margin losses of class tokens and patch head (weight 1 each), and the patch head's maps.

    Args:
        model: an `MCTformer`.
        images: [B, 3, H, W].
        labels: [B, C] multi-hot.
        record: ``"mean"`` to keep attention and scores.
        maps: ``patch_cam``, equation 1's class activation map; ``fused``, its product with the class attention of the
            last layers, the map that MCTformer refines at inference.
    """
    output = model(images, attention=record, scores=record)
    losses = {
        "class": F.multilabel_soft_margin_loss(output.class_logits.float(), labels),
        "patch": F.multilabel_soft_margin_loss(output.patch_logits.float(), labels),
    }
    class_maps = output.patch_maps
    if maps == "fused" and record:
        class_maps = fuse(model, output, min(CLASS_ATTENTION_LAYERS, len(output.attention)))[1]
    return Reading(losses, class_maps, output.attention, output.scores)


@loss("mctformer")
def mctformer() -> Classification:
    """MCTformer-V2's loss."""
    return Classification(MCTformer, read_mctformer)
