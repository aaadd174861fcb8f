"""Training of ReCAM (Chen et al., CVPR 2022): classes exclude each other where only one class's map is looked at."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.recam import ReCAM
from seedbed.train.backbone_losses import check_network
from seedbed.train.objectives import Parts, loss


@loss("recam")
class ReCAMObjective:
    """Soft margin of ``(images, multi-hot labels)``, and softmax cross entropy under the present classes' maps.

    Args:
        softmax_weight: of the second term; the paper's lambda, 1 on VOC and 0.1 on COCO as published.

    Raises:
        ParameterError: the weight is negative.
    """

    def __init__(self, *, softmax_weight: float = 1.0) -> None:
        if softmax_weight < 0:
            raise ParameterError(f"softmax_weight={softmax_weight} must be 0 or more.")
        self.softmax_weight = softmax_weight

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, ReCAM)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted."""
        images, labels = batch
        output = model(images)
        with torch.autocast(images.device.type, enabled=False):
            classes = F.multilabel_soft_margin_loss(output.logits.float(), labels)
            exclusive = softmax_of_present(output.masked, labels)
        total = classes + self.softmax_weight * exclusive
        return total, {"class": classes.detach(), "softmax": exclusive.detach()}


def softmax_of_present(masked: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross entropy of each present class's masked features: an image's mean, then the batch's.

    Args:
        masked: float32 [B, C, C], logits of the features under each class's map.
        labels: [B, C], 0 or 1; an image without classes counts as 0.
    """
    costs = -masked.log_softmax(2).diagonal(dim1=1, dim2=2)
    return ((costs * labels).sum(1) / labels.sum(1).clamp(min=1)).mean()
