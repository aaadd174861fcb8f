"""Training WeCLIP's decoder on labels that its frozen CLIP makes on the way (Zhang et al., CVPR 2024)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.weclip import WeClip, affinities
from seedbed.refine.losses import attention_affinity_loss
from seedbed.refine.par import DILATIONS
from seedbed.refine.reliable import attention_affinity_labels
from seedbed.train.backbone_losses import check_network
from seedbed.train.counted_steps import CountedSteps
from seedbed.train.objectives import Parts, loss
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.weclip_labels import LabelSettings, pixel_labels, present_classes, refined_maps


@loss("weclip")
class WeClipLoss(CountedSteps):
    """Cross entropy of the decoder, balanced between background and foreground, + ``affinity_weight`` times AFA's loss
    of its affinities; both learn from the labels that `refined_maps` and `pixel_labels` make.

    A batch is ``(images, multi-hot labels)``. For the first ``decoder_from`` steps the maps are spread by CLIP's
    attention alone.

    Args:
        decoder_from: step, from 0, from which the decoder's affinities choose and weight the attention. The published
            code counts forward passes, those of its validation too: its 15,000 on VOC are step 9,145.
        layers, chosen_from, layer_choice, threshold, box_ends, dilations, iterations: see `LabelSettings`; as published
            the choice is ``signed`` and boxes are ``open``.
        radius: patches further apart than that are no pair.
        affinity_weight: of the affinities' loss.

    Raises:
        ParameterError: a number is out of range, or a word is unknown.
    """

    def __init__(
        self,
        *,
        decoder_from: int,
        layers: int = 8,
        chosen_from: int = 6,
        layer_choice: Literal["signed", "absolute"] = "absolute",
        threshold: float | None = 0.4,
        box_ends: Literal["whole", "open"] = "whole",
        dilations: list[int] | tuple[int, ...] = DILATIONS,
        iterations: int = 20,
        radius: int = 8,
        affinity_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if radius < 1:
            raise ParameterError(f"radius must be 1 or more, got {radius}.")
        if affinity_weight < 0 or decoder_from < 0:
            raise ParameterError("affinity_weight and decoder_from must be 0 or more.")
        self.decoder_from, self.radius, self.affinity_weight = decoder_from, radius, affinity_weight
        self.settings = LabelSettings(
            layers, chosen_from, layer_choice, threshold, box_ends, tuple(dilations), iterations
        )

    def bind(self, model: nn.Module) -> None:
        """Check that the network has what this loss reads."""
        check_network(model, WeClip)

    def forward(self, model: WeClip, batch: tuple[Tensor, ...]) -> Parts:
        """Return the loss and its parts, ``pixels`` and ``affinity`` (unweighted)."""
        images, labels = batch
        late = self.next_step() >= self.decoder_from
        seen = model.look(images)
        scores, features = model.decode(seen.levels)
        affinity = affinities(features)
        with torch.autocast(images.device.type, enabled=False):
            targets = present_classes(labels)
            maps = refined_maps(model, seen, targets, affinity.detach().float() if late else None, self.settings)
            found = pixel_labels(images, maps, targets, self.settings)
            parts = self.losses(scores.float(), affinity.float(), found)
        total = parts["pixels"] + self.affinity_weight * parts["affinity"]
        return total, {name: part.detach() for name, part in parts.items()}

    def losses(self, scores: Tensor, affinity: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """``pixels`` and ``affinity``, of scores [B, C + 1, h, w], affinities [B, N, N], labels int64 [B, H, W]."""
        enlarged = F.interpolate(scores, labels.shape[-2:], mode="bilinear", align_corners=False)
        pairs = attention_affinity_labels(labels, radius=self.radius, cell=labels.shape[-1] // scores.shape[-1])
        return {
            "pixels": balanced_cross_entropy(enlarged, labels),
            "affinity": attention_affinity_loss(affinity, pairs),
        }
