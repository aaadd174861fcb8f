"""WeakTr's gradient clipping loss of its segmentation network (Zhu et al., arXiv 2304.01184)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import VOID


class Clipped(NamedTuple):
    """Cross entropy of a batch.

    Attributes:
        plain: [B, H, W], of each pixel, 0 where it is void.
        clipped: [B, H, W], the same up to the cap of its cell.
        mean: the mean of ``plain`` by which clipping begins.
        loss: the mean of one of both.
    """

    plain: Tensor
    clipped: Tensor
    mean: Tensor
    loss: Tensor


@loss("clipped_cross_entropy", task="segmentation")
class ClippedCrossEntropy:
    """Cross entropy of ``(images, label maps)`` that leaves out the gradient of pixels which cost most.

    The pseudo masks' errors are such pixels, once the network has learnt the rest. A pixel's cost is cut at the mean of
    its cell, taken over the batch, or at the mean of all pixels if that is greater; the caps have no gradient.

    Args:
        start: costs are cut while their mean is not above it; tested anew at each step.
        cell: side of the square cells in pixels; the sides of the label maps are multiples of it.
        mean: over ``all`` pixels, void ones as 0, as published, so that images with much void weigh less; or over the
            ``labelled`` ones.
    """

    def __init__(self, *, start: float = 1.2, cell: int = 120, mean: Literal["all", "labelled"] = "all") -> None:
        self.start, self.cell, self.mean = start, cell, mean

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        images, labels = batch
        found = self.costs(model(images).float(), labels)
        return found.loss, {"cross_entropy": found.mean.detach()}

    def costs(self, logits: Tensor, labels: Tensor) -> Clipped:
        """The costs of logits [B, C, H, W] on labels int64 [B, H, W].

        Raises:
            ParameterError: a side is no multiple of the cell's.
        """
        height, width = labels.shape[-2:]
        if height % self.cell or width % self.cell:
            raise ParameterError(
                f"loss 'clipped_cross_entropy': label maps of {height} x {width} pixels are not filled by cells of "
                f"{self.cell}. Set loss_options.cell to a divisor of both sides, or let `augment` crop to a multiple."
            )
        plain = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none")
        count = plain.numel() if self.mean == "all" else (labels != VOID).sum().clamp(min=1)
        mean, detached = plain.sum() / count, plain.detach()
        cells = F.avg_pool2d(detached.mean(dim=0)[None, None], self.cell)
        cap = torch.maximum(F.interpolate(cells, size=(height, width), mode="nearest")[0, 0], mean.detach())
        clipped = torch.where(detached <= cap, plain, cap)
        # Both are computed, so that no GPU waits for the mean to be known.
        loss = torch.where(mean > self.start, mean, clipped.sum() / count)
        return Clipped(plain, clipped, mean, loss)
