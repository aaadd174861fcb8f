"""VGG-16 (Simonyan & Zisserman 2015) dilated to stride 8, as DeepLab-LargeFOV and PSA's first classifier have it.

The last two pools keep the size of the map, the fifth stage's convolutions are dilated by 2 instead, and the first
fully connected layer is a 3x3 convolution of 1024 channels and dilation 12 (Chen et al. 2015; Ahn & Kwak, CVPR 2018).
No recording of PSA's own network was at hand: names of layers are ours, and docs/decisions.md lists what was chosen.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import register

WIDTHS = (64, 128, 256, 512, 512, 1024)  # of the five stages, then of both fully connected layers
DEPTHS = (2, 2, 3, 3, 3)
LEVELS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
EARLY_LEVELS = ("conv1", "conv2")  # not trained, as the levels of this resolution in PSA's ResNet38


class VGGTaps(NamedTuple):
    """Feature maps at an eighth of the image (rounded up), [B, width, h, w], >= 0.

    Attributes:
        conv4: the fourth stage's last layer, conv4_3 (512 channels).
        conv5: the fifth stage's, conv5_3 (512).
        fc7: the second fully connected layer (1024).
    """

    conv4: Tensor
    conv5: Tensor
    fc7: Tensor


class VGG16(FourGroups, nn.Module):
    """The backbone: stages conv1 to conv5 of 3x3 convolutions with ReLU, then fc6 and fc7.

    Pools are 3x3 with padding 1, so that a side of n becomes n / 2 rounded up, and stay n where the stride is 1.

    Args:
        widths: channels of the five stages and of fc6 and fc7.
        width_divisor: divides every width; 1 is the published network.
        depths: convolutions of each stage.
        dilation: of fc6.
        dropout: after fc6 and after fc7, in training.
        norm: batch norms after every convolution, which a network without pretrained weights needs to learn.
        frozen: levels that are not trained, of `LEVELS`.

    Raises:
        ParameterError: `frozen` names a level that does not exist, or a number does not make a network.
    """

    new_layers: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        widths: Sequence[int] = WIDTHS,
        width_divisor: int = 1,
        depths: Sequence[int] = DEPTHS,
        dilation: int = 12,
        dropout: float = 0.5,
        norm: bool = False,
        frozen: Sequence[str] = EARLY_LEVELS,
    ) -> None:
        super().__init__()
        if len(widths) != 6 or len(depths) != 5 or min(depths) < 1 or any(w % width_divisor for w in widths):
            raise ParameterError(
                f"VGG-16 cannot have widths {widths} / {width_divisor} and depths {depths}: it has five stages and two "
                "fully connected layers of one width."
            )
        *stages, self.num_features = (width // width_divisor for width in widths)
        self.tap_widths, self.dropout = (stages[3], stages[4], self.num_features), dropout
        width_in = 3
        for level, width, depth in zip(LEVELS, stages, depths, strict=False):
            spread = 2 if level == "conv5" else 1
            layers = [_conv(width_in if i == 0 else width, width, 3, spread, norm) for i in range(depth)]
            self.add_module(level, nn.Sequential(*layers))
            width_in = width
        self.fc6 = _conv(width_in, self.num_features, 3, dilation, norm)
        self.fc7 = _conv(self.num_features, self.num_features, 1, 1, norm)
        for level in frozen:
            if level not in LEVELS:
                raise ParameterError(unknown_name("VGG-16 level to freeze", level, LEVELS))
            self.get_submodule(level).requires_grad_(False)

    def taps(self, images: Tensor) -> VGGTaps:
        """Feature maps of normalised images [B, 3, H, W]; any size."""
        x = images
        found: dict[str, Tensor] = {}
        for level in LEVELS[:5]:
            x = found[level] = self.get_submodule(level)(x)
            x = F.max_pool2d(x, 3, 1 if level in ("conv4", "conv5") else 2, padding=1)
        x = F.dropout(self.fc6(x), self.dropout, self.training)
        return VGGTaps(found["conv4"], found["conv5"], self.fc7(x))


class VGG16Classifier(VGG16):
    """PSA's classifier on VGG-16: dropout, global average pooling, a 1x1 classifier without bias.

    With timm's names for its steps, so that the method ``cam`` reads it as any network of timm's.

    Args:
        num_classes: classes without background.
        **backbone: see `VGG16`.
    """

    new_layers = ("fc8",)

    def __init__(self, num_classes: int, **backbone: Any) -> None:
        super().__init__(**backbone)
        self.fc8 = nn.Conv2d(self.num_features, num_classes, 1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)

    def forward_features(self, images: Tensor) -> Tensor:
        """`VGGTaps.fc7` of normalised images: [B, 1024, ceil(H / 8), ceil(W / 8)]."""
        return self.taps(images).fc7

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits [B, C] of features [B, 1024, h, w]."""
        features = F.dropout(features, self.dropout, self.training)
        return self.fc8(features.mean(dim=(2, 3), keepdim=True)).flatten(1)

    def get_classifier(self) -> nn.Conv2d:
        """The 1x1 classifier."""
        return self.fc8

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C] of normalised images [B, 3, H, W]."""
        return self.forward_head(self.forward_features(images))

    @torch.no_grad()
    def cam(self, images: Tensor) -> Tensor:
        """Class activation maps relu(fc8(fc7)): [B, C, ceil(H / 8), ceil(W / 8)], >= 0, not normalised."""
        return self.fc8(self.taps(images).fc7).relu()


def _conv(width_in: int, width: int, kernel: int, dilation: int, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(width_in, width, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=not norm)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU())


TINY: dict[str, Any] = {
    "widths": (16, 32, 48, 64, 64, 96),
    "depths": (1, 1, 1, 1, 1),
    "dilation": 3,
    "norm": True,
    "frozen": (),
}

register("vgg16_cam", VGG16Classifier, "PSA's classifier on VGG-16")
register("vgg16_cam_tiny", VGG16Classifier, "PSA's VGG-16 classifier, small enough for the built-in data", **TINY)
