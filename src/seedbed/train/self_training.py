"""Self-training of a network that predicts masks itself: its decoder learns what its own classifier activates on.

Ours, the plainest member of the family of single-stage methods. Their refinements (pixel-adaptive refinement and
affinities of AFA, the token contrast of ToCo) are left out, so its numbers say nothing of theirs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.explain.map_scaling import min_max, upsample
from seedbed.models.single_stage import SingleStage
from seedbed.refine.reliable import IGNORE, cam_to_label
from seedbed.train.backbone_losses import check_network
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import mean_cross_entropy


@loss("self_training")
class SelfTraining:
    """Multi-label soft margin loss + ``loss_weight`` times the decoder's cross entropy.

    A batch is ``(images, multi-hot labels)``.
    The decoder learns labels that carry no gradient: each present class's activation map, at the image's size, cut at 0
    and stretched to 0..1; a pixel whose largest value is above the high threshold is the strongest class, one at or
    below the low threshold background. Those between, and zero padding, do not count.

    Args:
        thresholds: ``(low, high)``.
        loss_weight: of the decoder's loss.

    Raises:
        ParameterError: a number is out of range.
    """

    def __init__(self, *, thresholds: Sequence[float], loss_weight: float = 1.0) -> None:
        if len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1] <= 1:
            raise ParameterError(f"thresholds must be [low, high] with 0 <= low <= high <= 1, got {list(thresholds)}.")
        if loss_weight < 0:
            raise ParameterError(f"loss_weight must be 0 or more, got {loss_weight}.")
        self.thresholds, self.loss_weight = (thresholds[0], thresholds[1]), loss_weight

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, SingleStage)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts: ``class``, ``pixels`` (unweighted) and ``uncertain``, the share of pixels that
        do not count.
        """
        images, labels = batch
        output = model(images)
        targets = self_labels(images, output.maps, labels, self.thresholds)
        scores = F.interpolate(output.scores.float(), images.shape[-2:], mode="bilinear", align_corners=True)
        parts = {
            "class": F.multilabel_soft_margin_loss(output.logits.float(), labels),
            "pixels": mean_cross_entropy(scores, targets),
        }
        total = parts["class"] + self.loss_weight * parts["pixels"]
        uncertain = (targets == IGNORE).float().mean()
        return total, {**{name: part.detach() for name, part in parts.items()}, "uncertain": uncertain}


@torch.no_grad()
def self_labels(images: Tensor, maps: Tensor, labels: Tensor, thresholds: tuple[float, float]) -> Tensor:
    """Labels of pixels from a classifier's own maps; see `SelfTraining`.

    Args:
        images: [B, 3, H, W], normalised; a pixel that is exactly 0 is padding.
        maps: [B, C, h, w], signed.
        labels: [B, C], non-zero where a class is present.
        thresholds: ``(low, high)``, on maps in 0..1.

    Returns:
        int64 [B, H, W]: 0 background, ``c + 1`` for class ``c``, 255 where it does not count.
    """
    stretched = min_max(upsample(maps.float().relu(), images.shape[-2:]))
    found = cam_to_label(stretched, labels, background=None, thresholds=thresholds)
    return found.masked_fill((images == 0).all(dim=1), IGNORE)
