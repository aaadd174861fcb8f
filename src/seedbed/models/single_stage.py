"""A classifier that predicts masks itself: one backbone, a linear classifier over its mean, and a decoder beside it.

Ours, the smallest of its kind: what a single-stage network needs and no more (AFA, Ru et al. 2022, and ToCo, Ru et al.
2023, add affinities, refinement and contrast). It is trained from image-level labels by the loss ``self_training``.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.deeplab import DeepLabV1
from seedbed.models.registry import register
from seedbed.models.resnet38 import TINY


class SingleStageOutput(NamedTuple):
    """What `SingleStage` gives for images [B, 3, H, W]; h, w are an eighth of H, W.

    Attributes:
        logits: [B, C], of the classes without background.
        maps: [B, C, h, w], signed class activation maps, whose mean over the places is ``logits`` when it evaluates.
        scores: [B, C + 1, h, w], the decoder's, background first.
    """

    logits: Tensor
    maps: Tensor
    scores: Tensor


class SingleStage(DeepLabV1):
    """DeepLab-LargeFOV on ResNet38 with PSA's classifier on the same features.

    Args:
        num_classes: classes without background.
        **deeplab: see `DeepLabV1`.
    """

    new_layers = (*DeepLabV1.new_layers, "fc8")

    def __init__(self, num_classes: int, **deeplab) -> None:
        super().__init__(num_classes + 1, **deeplab)
        self.fc8 = nn.Conv2d(self.backbone.num_features, num_classes, 1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)

    def forward(self, images: Tensor) -> SingleStageOutput:
        """Classify and decode; `logits` and `pixel_scores` give the decoder's scores alone."""
        features = self.backbone(images)
        pooled = F.dropout2d(features, 0.5, self.training).mean(dim=(2, 3), keepdim=True)
        return SingleStageOutput(self.fc8(pooled).flatten(1), self.fc8(features), self.head(features))


register(
    "resnet38_single_stage",
    SingleStage,
    "ResNet38 that classifies and predicts masks",
    predicts_masks=True,
)
register(
    "resnet38_single_stage_tiny",
    SingleStage,
    "ResNet38 that classifies and predicts masks, small enough for the built-in data",
    predicts_masks=True,
    head_width=64,
    dilation=3,
    **TINY,
)
