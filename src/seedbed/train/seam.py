"""Training of SEAM (Wang et al., CVPR 2020): an image and a smaller copy, whose class maps should be the same."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.seam import EPS, SEAM, alone
from seedbed.train.backbone_losses import check_network
from seedbed.train.objectives import Parts, loss


@loss("seam")
class SEAMObjective:
    """Classification, equivariance and cross equivariance (section 3.4) of ``(images, multi-hot labels)``.

    Both views go through the same network. Maps are compared on the grid of the smaller image's pixels, those of absent
    classes being 0.

    Args:
        scale: of the smaller image's sides, rounded down.
        hardest: share of an image's differences (classes, background and places together) that the cross loss keeps.
        equivariance_weight, cross_weight: of both regularisations; the paper adds them up as they are.
        background_weight: of `least`, which the published code adds and the paper does not name: it does not move the
            best score of the maps, its authors say, but the background at which that is reached.

    Raises:
        ParameterError: a number is out of range.
    """

    def __init__(
        self,
        *,
        scale: float = 0.3,
        hardest: float = 0.2,
        equivariance_weight: float = 1.0,
        cross_weight: float = 1.0,
        background_weight: float = 0.0,
    ) -> None:
        if not (0 < scale <= 1 and 0 < hardest <= 1):
            raise ParameterError(f"scale={scale} and hardest={hardest} must be above 0 and at most 1.")
        self.weights = {
            "class": 1.0,
            "equivariance": equivariance_weight,
            "cross": cross_weight,
            "background": background_weight,
        }
        if min(self.weights.values()) < 0:
            raise ParameterError(f"Weights must be 0 or more, got {self.weights}.")
        self.scale, self.hardest = scale, hardest

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, SEAM)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted."""
        images, labels = batch
        size = (max(1, int(images.shape[-2] * self.scale)), max(1, int(images.shape[-1] * self.scale)))
        views = [model(images), model(bilinear(images, size))]
        with torch.autocast(images.device.type, enabled=False):
            present = labels[:, :, None, None]
            with_background = F.pad(present, (0, 0, 0, 0, 1, 0), value=1.0)
            maps = [stretched(bilinear(view.maps.float(), size)) * present for view in views]
            refined = [stretched(bilinear(view.refined, size)) * with_background for view in views]
            classes = [F.multilabel_soft_margin_loss(view.logits.float(), labels) for view in views]
            parts = {
                "class": torch.stack(classes).mean(),
                "equivariance": (maps[0] - maps[1]).abs().mean(),
                "cross": cross(refined[0], maps[1], self.hardest) + cross(refined[1], maps[0], self.hardest),
                "background": torch.stack([least(view.refined[:, 1:] * present) for view in views]).mean(),
            }
        total: Any = sum(self.weights[name] * part for name, part in parts.items())
        return total, {name: part.detach() for name, part in parts.items()}


def bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w] at another size, bilinearly, with aligned corners: those of both views fall together."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def stretched(maps: Tensor) -> Tensor:
    """Each map [..., h, w], cut at 0, from its minimum to its maximum: 0..1; one without evidence is 0."""
    positive = maps.relu()
    low, high = positive.amin((-2, -1), keepdim=True), positive.amax((-2, -1), keepdim=True)
    return (positive - low - EPS).relu() / (high - low + EPS)


def cross(refined: Tensor, other: Tensor, hardest: float) -> Tensor:
    """Equivariant cross regularisation: refined maps of one view against the class maps of the other.

    What the refined maps learn is the strongest class of each place and the background, without gradient.

    Args:
        refined: [B, C + 1, h, w] in 0..1, background first.
        other: [B, C, h, w] in 0..1.
        hardest: share of each image's absolute differences whose mean is taken, the largest.
    """
    differences = (refined - alone(other.detach())).abs().flatten(1)
    kept = max(1, int(differences.shape[1] * hardest))
    return differences.topk(kept, dim=1, sorted=False).values.mean()


def least(scores: Tensor) -> Tensor:
    """The mean score of the quarter of places where an image's strongest class is weakest.

    Args:
        scores: [B, C, h, w], >= 0.
    """
    strongest = scores.amax(1).flatten(1)
    return strongest.topk(max(1, strongest.shape[1] // 4), dim=1, largest=False, sorted=False).values.mean()
