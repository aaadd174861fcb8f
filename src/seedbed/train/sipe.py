"""Training of SIPE (Chen et al., CVPR 2022): general class maps and an image's own should be the same."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.peaked import peaked
from seedbed.models.sipe import BACKGROUND_FACTOR, SIPE, general_maps, seed_regions, specific_maps
from seedbed.train.backbone_losses import check_network
from seedbed.train.objectives import Parts, loss


@loss("sipe")
class SIPEObjective:
    """Classification and general-specific consistency of ``(images, multi-hot labels)``.

    Regions are found by the last stage's features, prototypes are means of the hierarchical ones. Class activation maps
    of absent classes, and all maps in zero padding, are 0.

    Args:
        consistency_weight: of the mean absolute difference of class activation maps and image-specific maps.
        background_factor: see `seed_regions`.

    Raises:
        ParameterError: a number is negative.
    """

    def __init__(self, *, consistency_weight: float = 1.0, background_factor: float = BACKGROUND_FACTOR) -> None:
        if min(consistency_weight, background_factor) < 0:
            raise ParameterError(
                f"consistency_weight={consistency_weight} and background_factor={background_factor} must be 0 or more."
            )
        self.consistency_weight, self.background_factor = consistency_weight, background_factor

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, SIPE)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, unweighted."""
        images, labels = batch
        output = model(images)
        with torch.autocast(images.device.type, enabled=False):
            allowed = inside(images, output.maps.shape[-2:]) * F.pad(labels, (1, 0), value=1.0)[:, :, None, None]
            general = general_maps(output.maps.float()) * allowed
            with torch.no_grad():
                seeds = seed_regions(general, output.semantic.float(), self.background_factor) * allowed
            specific = peaked(specific_maps(output.hierarchical.float(), seeds))
            parts = {
                "class": F.multilabel_soft_margin_loss(output.logits.float(), labels),
                "consistency": (general - specific).abs().mean(),
            }
        total: Any = parts["class"] + self.consistency_weight * parts["consistency"]
        return total, {name: part.detach() for name, part in parts.items()}


def inside(images: Tensor, size: tuple[int, int]) -> Tensor:
    """1 where images show their picture, 0 in zero padding.

    Args:
        images: [B, 3, H, W], normalised; a pixel that is exactly 0 is padding.
        size: (h, w) of the result, the nearest pixels.

    Returns:
        float32 [B, 1, h, w].
    """
    shown = (images != 0).any(dim=1, keepdim=True).float()
    return F.interpolate(shown, size, mode="nearest")
