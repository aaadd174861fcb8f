"""Losses by name, for networks that map pictures to logits."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.outputs import heads_of
from seedbed.train.aream import conformer, conformer_aream, mctformer, mctformer_aream
from seedbed.train.exvit import ExViTObjective

VOID = 255
Parts = tuple[Tensor, dict[str, Tensor]]


class MultiLabelSoftMargin:
    """Multi-label soft margin loss of ``(pictures, multi-hot labels)``."""

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        pictures, labels = batch
        return F.multilabel_soft_margin_loss(model(pictures).float(), labels), {}


class CrossEntropy:
    """Softmax cross entropy of ``(pictures, multi-hot labels)`` with exactly one label a picture.

    A network with two heads pays for each (Conformer on ImageNet, Peng et al. 2021).
    """

    single_label = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        pictures, labels = batch
        heads, truth = heads_of(model(pictures)), labels.argmax(1)
        losses = {
            name: F.cross_entropy(logits.float(), truth, label_smoothing=self.label_smoothing)
            for name, logits in heads.items()
        }
        parts = {name: loss.detach() for name, loss in losses.items()} if len(losses) > 1 else {}
        return sum(losses.values()), parts


class PixelCrossEntropy:
    """Cross entropy of ``(pictures, label maps)``; logits are enlarged to the label map, void pixels do not count.

    Args:
        align_corners: of the enlargement.
        balanced: the mean of the cross entropies of background (label 0) and of foreground, as AFA trains on its pseudo
            labels (Ru et al. 2022); the plain mean over pixels otherwise. A term without pixels is 0 (AFA's: NaN).
    """

    def __init__(self, align_corners: bool = True, balanced: bool = False) -> None:
        self.align_corners, self.balanced = align_corners, balanced

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        pictures, labels = batch
        logits = model(pictures).float()
        logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        if not self.balanced:
            return _mean_cross_entropy(logits, labels), {}
        background, foreground = labels.masked_fill(labels != 0, VOID), labels.masked_fill(labels == 0, VOID)
        return (_mean_cross_entropy(logits, background) + _mean_cross_entropy(logits, foreground)) / 2, {}


def _mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    counted = (labels != VOID).sum().clamp(min=1)
    return F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum") / counted


OBJECTIVES: dict[str, Callable[..., Any]] = {
    "multilabel_soft_margin": MultiLabelSoftMargin,
    "cross_entropy": CrossEntropy,
    "pixel_cross_entropy": PixelCrossEntropy,
    "exvit": ExViTObjective,
    "mctformer": mctformer,
    "mctformer_aream": mctformer_aream,
    "conformer": conformer,
    "conformer_aream": conformer_aream,
}


def excludes_other_classes(name: str) -> bool:
    """Whether a classifier trained with this loss takes exactly one class to be in a picture."""
    return getattr(OBJECTIVES.get(name), "single_label", False)


def build_objective(name: str, **options: Any) -> Any:
    """Return the objective of that name.

    Raises:
        ParameterError: the name is unknown, or an option does not fit.
    """
    if name not in OBJECTIVES:
        raise ParameterError(unknown_name("loss", name, OBJECTIVES))
    try:
        return OBJECTIVES[name](**options)
    except TypeError as error:
        raise ParameterError(f"loss '{name}': {error}.") from None
