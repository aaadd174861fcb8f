"""TransCAM's loss (Li et al. 2023) of a Conformer, and what AReAM reads of one."""

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.conformer import Conformer
from seedbed.train.backbone_losses import Classification, Reading
from seedbed.train.objectives import loss


def read_conformer(model: nn.Module, images: Tensor, labels: Tensor, record: str | None) -> Reading:
    """Soft margin loss of the sum of both heads' logits (TransCAM), and the convolutional head's maps.

    A network with one output more than there are labels has a background output in front, as published: it enters
    neither the loss nor the maps.

    Args:
        model: a `Conformer`.
        images: [B, 3, H, W].
        labels: [B, C] multi-hot.
        record: ``"mean"`` to keep attention and scores.

    Raises:
        ParameterError: the outputs are neither as many as the labels nor one more.
    """
    output = model(images, attention=record, scores=record)
    logits = output.conv_logits.float() + output.trans_logits.float()
    extra = logits.shape[1] - labels.shape[1]
    if extra not in (0, 1):
        raise ParameterError(
            f"The network has {logits.shape[1]} outputs for {labels.shape[1]} classes; it needs as many, or one more "
            "for the background in front."
        )
    losses = {"class": F.multilabel_soft_margin_loss(logits[:, extra:], labels)}
    return Reading(losses, output.conv_maps[:, extra:], output.attention, output.scores)


@loss("conformer")
def conformer() -> Classification:
    """TransCAM's loss."""
    return Classification(Conformer, read_conformer)
