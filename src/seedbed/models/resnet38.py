"""ResNet38 (Wu et al. 2019, "Wider or deeper", model A1) as the affinity papers use it: stride 8, frozen norms.

The backbone of PSA (Ahn & Kwak, CVPR 2018), of MCTformer's and TransCAM's refinement, and of the papers' segmentation
networks. Parameter names are those of the published PyTorch checkpoints.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.frozen_norms import FrozenNorms
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import register

WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)  # conv1a, then the outputs of levels 2 to 7
DEPTHS = (3, 3, 6, 3)  # blocks of levels 2 to 5; levels 6 and 7 have one each
LEVELS = ("conv1a", "b2", "b3", "b4", "b5", "b6", "b7", "bn7")
EARLY_LEVELS = ("conv1a", "b2")  # not trained in PSA's classifier and affinity network


class Taps(NamedTuple):
    """Feature maps at an eighth of the image (rounded up), [B, width, h, w].

    Attributes:
        conv4: pre-activation inside the first block of level 5 (512 channels).
        conv5: pre-activation inside the block of level 6 (1024).
        conv6: the network's output after the last norm and ReLU (4096).
    """

    conv4: Tensor
    conv5: Tensor
    conv6: Tensor


class WideBlock(nn.Module):
    """Pre-activation block of two 3x3 convolutions: a = relu(bn(x)), then 3x3, bn, relu, 3x3, plus the shortcut.

    The shortcut is x itself where shape allows, else a 1x1 convolution of `a`, without norm. The first convolution
    carries the stride and `first_dilation`, the second `dilation`.
    """

    def __init__(
        self, width_in: int, width_mid: int, width_out: int, stride: int = 1, first_dilation: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(width_in)
        self.conv_branch2a = _conv3x3(width_in, width_mid, stride, first_dilation)
        self.bn_branch2b1 = nn.BatchNorm2d(width_mid)
        self.conv_branch2b1 = _conv3x3(width_mid, width_out, 1, dilation)
        self.projected = stride != 1 or width_in != width_out
        if self.projected:
            self.conv_branch1 = nn.Conv2d(width_in, width_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and its pre-activation `a`."""
        pre = self.bn_branch2a(x).relu()
        shortcut = self.conv_branch1(pre) if self.projected else x
        branch = self.conv_branch2a(pre)
        branch = self.conv_branch2b1(self.bn_branch2b1(branch).relu())
        return shortcut + branch, pre


class BottleneckBlock(nn.Module):
    """Pre-activation bottleneck of levels 6 and 7: 1x1, dilated 3x3, 1x1; the shortcut is always projected."""

    def __init__(self, width_in: int, width_out: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(width_in)
        self.conv_branch2a = nn.Conv2d(width_in, width_out // 4, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(width_out // 4)
        self.conv_branch2b1 = _conv3x3(width_out // 4, width_out // 2, 1, dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(width_out // 2)
        self.conv_branch2b2 = nn.Conv2d(width_out // 2, width_out, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(width_in, width_out, 1, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and its pre-activation."""
        pre = self.bn_branch2a(x).relu()
        branch = self.bn_branch2b1(self.conv_branch2a(pre)).relu()
        branch = self.conv_branch2b1(F.dropout2d(branch, self.dropout, self.training))
        branch = self.bn_branch2b2(branch).relu()
        branch = self.conv_branch2b2(F.dropout2d(branch, self.dropout, self.training))
        return self.conv_branch1(pre) + branch, pre


class ResNet38(FourGroups, FrozenNorms):
    """The backbone; its blocks are called b2, b2_1, ... b5_2, b6, b7 as in the checkpoints.

    Args:
        widths: channels of conv1a and of levels 2 to 7.
        width_divisor: divides every width; 1 is the published network.
        depths: blocks of levels 2 to 5.
        strides: of levels 2 to 4.
        dropout: of levels 6 and 7, on whole channels.
        freeze_norm: keep every batch norm of the backbone in inference mode and untrained, as published. ``False``
            trains them, which a network without pretrained weights needs.
        frozen: levels that are not trained at all, of `LEVELS`; each stands for all its blocks.

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
        strides: Sequence[int] = (2, 2, 2),
        dropout: Sequence[float] = (0.3, 0.5),
        freeze_norm: bool = True,
        frozen: Sequence[str] = EARLY_LEVELS,
    ) -> None:
        super().__init__()
        if any(width % width_divisor for width in widths) or min(depths) < 1:
            raise ParameterError(f"ResNet38 cannot have widths {widths} / {width_divisor} and depths {depths}.")
        w1, w2, w3, w4, w5, w6, w7 = (width // width_divisor for width in widths)
        self.tap_widths, self.num_features = (w4, w5, w7), w7
        self.conv1a = _conv3x3(3, w1, 1, 1)
        self._blocks: list[str] = []
        for level, (width_in, width, stride) in enumerate(
            zip((w1, w2, w3), (w2, w3, w4), strides, strict=True), start=2
        ):
            self._add_level(level, depths[level - 2], WideBlock(width_in, width, width, stride), width)
        first = WideBlock(w4, w4, w5, first_dilation=1, dilation=2)
        self._add_level(5, depths[3], first, w5, width_mid=w4, dilation=2)
        self._add_block("b6", BottleneckBlock(w5, w6, 4, dropout[0]))
        self._add_block("b7", BottleneckBlock(w6, w7, 4, dropout[1]))
        self.bn7 = nn.BatchNorm2d(w7)
        self.apply(_init_conv)
        self._freeze(frozen)
        if freeze_norm:
            self.freeze_norms(self)

    def _add_block(self, name: str, block: nn.Module) -> None:
        self.add_module(name, block)
        self._blocks.append(name)

    def _add_level(
        self, level: int, depth: int, first: WideBlock, width: int, width_mid: int | None = None, dilation: int = 1
    ) -> None:
        self._add_block(f"b{level}", first)
        for i in range(1, depth):
            block = WideBlock(width, width_mid or width, width, first_dilation=dilation, dilation=dilation)
            self._add_block(f"b{level}_{i}", block)

    def _freeze(self, levels: Sequence[str]) -> None:
        for level in levels:
            if level not in LEVELS:
                raise ParameterError(unknown_name("ResNet38 level to freeze", level, LEVELS))
        for name, module in self.named_children():
            if name.partition("_")[0] in levels:
                module.requires_grad_(False)

    def taps(self, images: Tensor) -> Taps:
        """Feature maps of normalised images [B, 3, H, W]; any size."""
        x = self.conv1a(images)
        taps: dict[str, Tensor] = {}
        for name in self._blocks:
            x, pre = self.get_submodule(name)(x)
            if name in ("b5", "b6"):
                taps[name] = pre
        return Taps(taps["b5"], taps["b6"], self.bn7(x).relu())

    def forward(self, images: Tensor) -> Tensor:
        """`Taps.conv6` of normalised images: [B, 4096, ceil(H / 8), ceil(W / 8)]."""
        return self.taps(images).conv6


class ResNet38Classifier(ResNet38):
    """PSA's classification network: dropout, global average pooling, a 1x1 classifier without bias.

    Args:
        num_classes: classes without background.
        **backbone: see `ResNet38`.
    """

    new_layers = ("fc8",)

    def __init__(self, num_classes: int, **backbone: Any) -> None:
        super().__init__(**backbone)
        self.fc8 = nn.Conv2d(self.num_features, num_classes, 1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C] of normalised images [B, 3, H, W]."""
        features = F.dropout2d(self.taps(images).conv6, 0.5, self.training)
        return self.fc8(features.mean(dim=(2, 3), keepdim=True)).flatten(1)

    @torch.no_grad()
    def cam(self, images: Tensor) -> Tensor:
        """Class activation maps relu(fc8(conv6)): [B, C, ceil(H / 8), ceil(W / 8)], >= 0, not normalised."""
        return self.fc8(self.taps(images).conv6).relu()


def _conv3x3(width_in: int, width_out: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, stride, padding=dilation, dilation=dilation, bias=False)


def _init_conv(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


TINY: dict[str, Any] = {"width_divisor": 16, "depths": (1, 1, 2, 2), "freeze_norm": False, "frozen": ()}

register("resnet38", ResNet38Classifier, "ResNet38 classifier of PSA")
register("resnet38_tiny", ResNet38Classifier, "ResNet38 classifier, small enough for the built-in data", **TINY)
