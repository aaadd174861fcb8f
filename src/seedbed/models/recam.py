"""ReCAM's network (Chen et al., CVPR 2022): a classifier with a second head, for features masked by class maps."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.frozen_norms import FrozenNorms
from seedbed.models.peaked import peaked
from seedbed.models.registry import register
from seedbed.models.timm_resnet import timm_resnet


class ReCAMOutput(NamedTuple):
    """What `ReCAM` gives for images [B, 3, H, W].

    Attributes:
        logits: [B, C], of the classifier.
        masked: float32 [B, C, C]; row k holds the second head's logits of the features under class k's map.
    """

    logits: Tensor
    masked: Tensor


def masked_features(features: Tensor, maps: Tensor) -> Tensor:
    """The features' mean under each class's map, cut at 0 and divided by its maximum (section 3).

    Args:
        features: float32 [B, D, h, w].
        maps: float32 [B, C, h, w], signed.

    Returns:
        [B, C, D]; 0 for a class without evidence. Gradients reach features and maps alike.
    """
    places = features.shape[-2] * features.shape[-1]
    return peaked(maps).flatten(2) @ features.flatten(2).transpose(1, 2) / places


class ReCAM(FrozenNorms):
    """A ResNet of timm's as classifier, and a linear head without bias that tells masked features' classes apart.

    The classifier's first convolution is never trained, as published.

    Args:
        num_classes: classes without background.
        architecture: timm's name of the ResNet.
        freeze_norm: keep the batch norms as the classifier learned them, as published.
        **backbone: what else timm builds it of, such as ``output_stride``.

    Raises:
        ParameterError: timm has no such ResNet.
    """

    def __init__(
        self, num_classes: int, *, architecture: str = "resnet50", freeze_norm: bool = True, **backbone: Any
    ) -> None:
        super().__init__()
        self.backbone = timm_resnet(architecture, num_classes=num_classes, **backbone)
        self.softmax_head = nn.Linear(self.backbone.num_features, num_classes, bias=False)
        self.backbone.conv1.requires_grad_(False)
        if freeze_norm:
            self.freeze_norms(self.backbone)

    def forward(self, images: Tensor) -> ReCAMOutput:
        """Classify normalised images [B, 3, H, W], whole and under the map of each class."""
        features = self.backbone.forward_features(images)
        logits = self.backbone.forward_head(features)
        with torch.autocast(images.device.type, enabled=False):
            features = features.float()
            masked = masked_features(features, F.conv2d(features, self.backbone.fc.weight.float()[..., None, None]))
            return ReCAMOutput(logits, self.softmax_head(masked))


register("recam_resnet50", ReCAM, "ReCAM on a ResNet of timm's")
