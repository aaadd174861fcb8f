"""SEAM's network (Wang et al., CVPR 2020): a classifier whose class maps are refined by which pixels look alike.

Its pixel correlation module (section 3.3) is a self-attention of one function without residual, whose weights are
never negative. No gradient runs from it into the backbone or the maps that it refines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.frozen_norms import FrozenNorms
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.peaked import peaked
from seedbed.models.registry import register
from seedbed.models.resnet38 import TINY, ResNet38, Taps
from seedbed.models.timm_resnet import dilated_resnet

EPS = 1e-5
WIDTHS = (64, 128)  # channels that the module takes from either level


class SEAMOutput(NamedTuple):
    """What `SEAM` gives for images [B, 3, H, W]; h, w are an eighth of H, W, rounded up.

    Attributes:
        logits: [B, C], of the classes without background.
        maps: [B, C, h, w], signed class activation maps, whose mean over the places is ``logits``.
        refined: float32 [B, C + 1, h, w] in 0..1, the maps as the pixel correlation module leaves them, background
            first.
    """

    logits: Tensor
    maps: Tensor
    refined: Tensor


def alone(scores: Tensor) -> Tensor:
    """Background 1 - max in front of scores [B, C, h, w] in 0..1, and at each place no class but the strongest.

    Returns:
        [B, C + 1, h, w]; classes that are not the strongest of their place are 0 there.
    """
    strongest = scores.amax(1, keepdim=True)
    return torch.cat([1 - strongest, torch.where(scores == strongest, scores, 0)], dim=1)


def correlated(scores: Tensor, features: Tensor) -> Tensor:
    """Each place's mean of all places' scores, weighted by the cosine of their features, 0 where that is negative.

    Args:
        scores: float32 [B, S, h, w].
        features: float32 [B, D, h, w].

    Returns:
        [B, S, h, w], within the range of the scores.
    """
    directions = F.normalize(features.flatten(2), dim=1)
    alike = (directions.transpose(1, 2) @ directions).relu_()  # [B, hw, hw], symmetric
    total = alike.sum(1, keepdim=True).clamp(min=EPS)
    return ((scores.flatten(2) @ alike) / total).unflatten(2, scores.shape[-2:])


class PixelCorrelation(nn.Module):
    """The pixel correlation module: colours and two levels of features, mixed to what likeness is measured by.

    Args:
        low, high: channels of both levels.
        widths: channels taken from either.
    """

    def __init__(self, low: int, high: int, widths: Sequence[int]) -> None:
        super().__init__()
        mixed = sum(widths)
        self.low = nn.Conv2d(low, widths[0], 1, bias=False)
        self.high = nn.Conv2d(high, widths[1], 1, bias=False)
        self.mix = nn.Conv2d(3 + mixed, mixed, 1, bias=False)
        nn.init.kaiming_normal_(self.low.weight)
        nn.init.kaiming_normal_(self.high.weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=4)

    def forward(self, maps: Tensor, images: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Refine class maps.

        Args:
            maps: [B, C, h, w], signed. Each class is cut at 0 and divided by its maximum, whether the image has it or
                not: the module sees no labels.
            images: [B, 3, H, W], normalised.
            low, high: features [B, channels, h, w].

        Returns:
            float32 [B, C + 1, h, w] in 0..1, background first.
        """
        colours = F.interpolate(images, maps.shape[-2:], mode="bilinear", align_corners=True)
        levels = (self.low(low.detach()).relu(), self.high(high.detach()).relu())
        features = self.mix(torch.cat([colours, *levels], dim=1))
        with torch.autocast(images.device.type, enabled=False):
            return correlated(alone(peaked(maps.detach().float())), features.float())


class SEAM(FourGroups, FrozenNorms):
    """A classifier without bias over a backbone's last features, and the pixel correlation module beside it.

    Those that inherit build a backbone, call `add_heads`, and give its `levels`.
    """

    new_layers: tuple[str, ...] = ("fc8", "correlation")

    def add_heads(self, num_classes: int, channels: Sequence[int], widths: Sequence[int]) -> None:
        """Add classifier and module.

        Args:
            num_classes: classes without background.
            channels: of the three levels.
            widths: see `PixelCorrelation`.
        """
        low, high, last = channels
        self.fc8 = nn.Conv2d(last, num_classes, 1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)
        self.correlation = PixelCorrelation(low, high, widths)

    def levels(self, images: Tensor) -> Sequence[Tensor]:
        """Two levels of features for the module and those that are classified, [B, channels, h, w] each."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> SEAMOutput:
        """Classify normalised images [B, 3, H, W] and refine their class maps."""
        low, high, last = self.levels(images)
        maps = self.fc8(F.dropout2d(last, 0.5, self.training))
        return SEAMOutput(maps.mean((2, 3)), maps, self.correlation(maps, images, low, high))


class SEAMResNet38(SEAM, ResNet38):  # type: ignore[misc]  # of the backbone only its layers
    """SEAM on ResNet38, as published but for a 21st output of the classifier, which nothing reads.

    Args:
        num_classes: classes without background.
        correlation_widths: see `PixelCorrelation`.
        **backbone: see `ResNet38`.
    """

    def __init__(self, num_classes: int, *, correlation_widths: Sequence[int] = WIDTHS, **backbone: Any) -> None:
        super().__init__(**backbone)
        self.add_heads(num_classes, self.tap_widths, correlation_widths)

    def levels(self, images: Tensor) -> Taps:
        """See `SEAM`."""
        return self.taps(images)


class SEAMResNet(SEAM):
    """SEAM on a ResNet of timm's, whose weights are small; its last three stages are the levels.

    Args:
        num_classes: classes without background.
        architecture: timm's name of the ResNet.
        correlation_widths: see `PixelCorrelation`.
        freeze_norm: keep the backbone's batch norms as they were learned.

    Raises:
        ParameterError: timm has no such ResNet.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        architecture: str = "resnet50",
        correlation_widths: Sequence[int] = WIDTHS,
        freeze_norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = dilated_resnet(architecture)
        self.add_heads(num_classes, [info["num_chs"] for info in self.backbone.feature_info[-3:]], correlation_widths)
        if freeze_norm:
            self.freeze_norms(self.backbone)

    def levels(self, images: Tensor) -> list[Tensor]:
        """See `SEAM`."""
        return self.backbone.forward_intermediates(images, indices=3, intermediates_only=True)


register("seam_resnet38", SEAMResNet38, "SEAM on ResNet38")
register(
    "seam_resnet38_tiny",
    SEAMResNet38,
    "SEAM on ResNet38, small enough for the built-in data",
    correlation_widths=(16, 32),
    **TINY,
)
register("seam_resnet50", SEAMResNet, "SEAM on a ResNet of timm's")
