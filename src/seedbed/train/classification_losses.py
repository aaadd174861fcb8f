"""Losses of classifiers that need nothing but logits."""

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.outputs import heads_of
from seedbed.train.objectives import Parts, added, loss


@loss("multilabel_soft_margin")
class MultiLabelSoftMargin:
    """Multi-label soft margin loss of ``(images, multi-hot labels)``."""

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        images, labels = batch
        return F.multilabel_soft_margin_loss(model(images).float(), labels), {}


@loss("cross_entropy", single_label=True)
class CrossEntropy:
    """Softmax cross entropy of ``(images, multi-hot labels)`` with exactly one label an image.

    A network with two heads pays for each (Conformer on ImageNet, Peng et al. 2021).
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        images, labels = batch
        heads, truth = heads_of(model(images)), labels.argmax(1)
        losses = {
            name: F.cross_entropy(logits.float(), truth, label_smoothing=self.label_smoothing)
            for name, logits in heads.items()
        }
        parts = {name: loss.detach() for name, loss in losses.items()} if len(losses) > 1 else {}
        return added(losses), parts
