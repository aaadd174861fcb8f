"""Segmentation networks the papers train on pseudo masks: DeepLab v1 (two published heads) and DeepLab v2.

All take normalised images [B, 3, H, W] of any size and return logits [B, C, H, W]; ``logits`` stops at the features'
own resolution, an eighth of the image. Parameter names of the v1 networks are those of the published checkpoints.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.frozen_norms import FrozenNorms
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import register
from seedbed.models.resnet38 import TINY, ResNet38
from seedbed.models.timm_resnet import dilated_resnet


class Segmenter(FourGroups, nn.Module):
    """Base of the segmentation networks: `logits` at stride 8, upsampled bilinearly to the image by `forward`."""

    align_corners = False

    def logits(self, images: Tensor) -> Tensor:
        """Class scores at the features' resolution, [B, C, ceil(H / 8), ceil(W / 8)]."""
        raise NotImplementedError

    def pixel_scores(self, images: Tensor) -> Tensor:
        """Class scores of every pixel, [B, C, H, W]."""
        return F.interpolate(
            self.logits(images), size=images.shape[-2:], mode="bilinear", align_corners=self.align_corners
        )

    def forward(self, images: Tensor) -> Tensor:
        """The same as `pixel_scores`."""
        return self.pixel_scores(images)


class DeepLabV1(Segmenter):
    """TransCAM's DeepLab-LargeFOV on ResNet38: dilated 3x3 conv, norm, ReLU, 1x1 conv, norm, ReLU, dropout, 1x1 conv.

    Args:
        num_classes: classes with background.
        head_width: channels of both hidden layers.
        dilation: of the 3x3 convolution.
        frozen: backbone levels not trained.
        **backbone: see `ResNet38`; its batch norms are frozen unless told otherwise, the head's are trained.
    """

    new_layers: tuple[str, ...] = ("conv_fov", "bn_fov", "conv_fov2", "bn_fov2", "cls_conv")
    align_corners = True

    def __init__(
        self,
        num_classes: int,
        *,
        head_width: int = 512,
        dilation: int = 12,
        frozen: Sequence[str] = ("conv1a",),
        **backbone: Any,
    ) -> None:
        super().__init__()
        self.backbone = ResNet38(frozen=frozen, **backbone)
        width = self.backbone.num_features
        self.conv_fov = nn.Conv2d(width, head_width, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn_fov = nn.BatchNorm2d(head_width)
        self.conv_fov2 = nn.Conv2d(head_width, head_width, 1, bias=False)
        self.bn_fov2 = nn.BatchNorm2d(head_width)
        self.cls_conv = nn.Conv2d(head_width, num_classes, 1)

    def logits(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))

    def head(self, features: Tensor) -> Tensor:
        """Backbone features [B, 4096, h, w] to class scores [B, C, h, w]."""
        x = self.bn_fov(self.conv_fov(features)).relu()
        x = self.bn_fov2(self.conv_fov2(x)).relu()
        return self.cls_conv(F.dropout(x, 0.5, self.training))


class DeepLabV1MCTformer(Segmenter, ResNet38):
    """MCTformer's segmentation network: ResNet38 and two 3x3 convolutions of dilation 12 with biases.

    Args:
        num_classes: classes with background.
        head_width: channels between the two convolutions.
        dilation: of both.
        frozen: levels not trained; the published runs freeze conv1a.
        **backbone: see `ResNet38`.
    """

    new_layers = ("fc8_seg_conv1", "fc8_seg_conv2")

    def __init__(
        self,
        num_classes: int,
        *,
        head_width: int = 512,
        dilation: int = 12,
        frozen: Sequence[str] = ("conv1a",),
        **backbone: Any,
    ) -> None:
        super().__init__(frozen=frozen, **backbone)
        spread: dict[str, Any] = {"padding": dilation, "dilation": dilation}
        self.fc8_seg_conv1 = nn.Conv2d(self.num_features, head_width, 3, **spread)
        self.fc8_seg_conv2 = nn.Conv2d(head_width, num_classes, 3, **spread)

    def logits(self, images: Tensor) -> Tensor:
        return self.fc8_seg_conv2(self.fc8_seg_conv1(self.taps(images).conv6).relu())


class AtrousPyramid(nn.Module):
    """DeepLab v2's head (Chen et al. 2018, section 3.2): the sum of four dilated 3x3 convolutions to class scores."""

    def __init__(self, width_in: int, num_classes: int, dilations: Sequence[int] = (6, 12, 18, 24)) -> None:
        super().__init__()
        branches = [nn.Conv2d(width_in, num_classes, 3, padding=d, dilation=d) for d in dilations]
        self.branches = nn.ModuleList(branches)
        for branch in branches:
            nn.init.normal_(branch.weight, std=0.01)
            if branch.bias is not None:
                nn.init.zeros_(branch.bias)

    def forward(self, features: Tensor) -> Tensor:
        """[B, width_in, h, w] -> [B, C, h, w]."""
        return sum(branch(features) for branch in self.branches)


class DeepLabV2ResNet38(Segmenter):
    """DeepLab v2's pyramid on ResNet38, eX-ViT's segmentation network.

    Args:
        num_classes: classes with background.
        dilations: of the pyramid's branches.
        frozen: backbone levels not trained.
        **backbone: see `ResNet38`.
    """

    new_layers = ("head",)

    def __init__(
        self,
        num_classes: int,
        *,
        dilations: Sequence[int] = (6, 12, 18, 24),
        frozen: Sequence[str] = ("conv1a",),
        **backbone: Any,
    ) -> None:
        super().__init__()
        self.backbone = ResNet38(frozen=frozen, **backbone)
        self.head = AtrousPyramid(self.backbone.num_features, num_classes, dilations)

    def logits(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


class DeepLabV2ResNet(FrozenNorms, Segmenter):
    """DeepLab v2 on a ResNet of timm's, dilated to stride 8.

    Args:
        num_classes: classes with background.
        architecture: timm name of the ResNet.
        dilations: of the pyramid's branches.
        freeze_norm: keep the backbone's batch norms in inference mode and untrained, as usual for DeepLab v2.
    """

    new_layers = ("head",)

    def __init__(
        self,
        num_classes: int,
        *,
        architecture: str = "resnet101",
        dilations: Sequence[int] = (6, 12, 18, 24),
        freeze_norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = dilated_resnet(architecture)
        self.head = AtrousPyramid(self.backbone.num_features, num_classes, dilations)
        if freeze_norm:
            self.freeze_norms(self.backbone)

    def logits(self, images: Tensor) -> Tensor:
        return self.head(self.backbone.forward_features(images))


register("deeplab_v1_resnet38", DeepLabV1, "DeepLab v1 on ResNet38 (TransCAM's head)", task="segmentation")
register("deeplab_v1_resnet38_mctformer", DeepLabV1MCTformer, "MCTformer's segmentation network", task="segmentation")
register("deeplab_v2_resnet38", DeepLabV2ResNet38, "DeepLab v2 on ResNet38", task="segmentation")
register("deeplab_v2_resnet101", DeepLabV2ResNet, "DeepLab v2 on ResNet-101", task="segmentation")
register(
    "deeplab_v1_resnet38_tiny",
    DeepLabV1,
    "DeepLab v1, small enough for the built-in data",
    task="segmentation",
    head_width=64,
    dilation=3,
    **TINY,
)
register(
    "deeplab_v2_resnet38_tiny",
    DeepLabV2ResNet38,
    "DeepLab v2 on ResNet38, small enough for the built-in data",
    task="segmentation",
    dilations=(1, 2, 3, 4),
    **TINY,
)
register(
    "deeplab_v1_resnet38_mctformer_tiny",
    DeepLabV1MCTformer,
    "MCTformer's segmentation network, small enough for the built-in data",
    task="segmentation",
    head_width=64,
    dilation=3,
    **TINY,
)
