"""SIPE's network (Chen et al., CVPR 2022): prototypes of one image's own regions, and the maps that they make.

A place belongs to the class whose activation map overlaps most with the places that look like it; the mean features of
a class's places are its prototype in this image, and what resembles the prototype is the class's map. No gradient runs
from the features of these maps into the backbone.
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
from seedbed.models.resnet38 import TINY, ResNet38
from seedbed.models.timm_resnet import resnet_stages, undilated_resnet

EPS = 1e-5
BACKGROUND_FACTOR = 0.5
"""What the published code multiplies the background's overlap by, before places are given to classes."""


class SIPEOutput(NamedTuple):
    """What `SIPE` gives for images [B, 3, H, W]; h, w are the sides of the last stage's features.

    Attributes:
        logits: [B, C], of the classes without background.
        maps: [B, C, h, w], signed class activation maps, whose mean over the places is ``logits``.
        hierarchical: [B, D, h, w], one part of every stage, each part of norm 1 before it is resized.
        semantic: [B, F, h, w], the last stage's features.
    """

    logits: Tensor
    maps: Tensor
    hierarchical: Tensor
    semantic: Tensor


def general_maps(maps: Tensor) -> Tensor:
    """Class activation maps [B, C, h, w], signed, as scores in 0..1 behind a background of 1 - max: [B, C + 1, h, w].

    The background is what no class claims, absent ones included, as published.
    """
    scores = peaked(maps)
    return torch.cat([1 - scores.amax(1, keepdim=True), scores], dim=1)


def seed_regions(scores: Tensor, features: Tensor, background_factor: float = BACKGROUND_FACTOR) -> Tensor:
    """Structure-aware seeds: each place goes to the score map that overlaps most with the places that look like it.

    How alike places are is the cosine of their features, 0 where that is negative. Overlap is the intersection over
    union of that likeness and a score map, with products as intersections.

    Args:
        scores: float32 [B, S, h, w] in 0..1, background first.
        features: float32 [B, F, h, w].
        background_factor: factor on the background's overlap.

    Returns:
        float32 [B, S, h, w], 1 for the chosen map of each place and 0 for all others.
    """
    directions = _directions(features.flatten(2))
    alike = (directions.transpose(1, 2) @ directions).relu_()  # [B, hw, hw], symmetric
    flat = scores.flatten(2)
    shared = flat @ alike
    overlap = shared / (alike.sum(1, keepdim=True) + flat.sum(2, keepdim=True) - shared)
    overlap = torch.cat([overlap[:, :1] * background_factor, overlap[:, 1:]], dim=1)
    chosen = F.one_hot(overlap.argmax(1), scores.shape[1])
    return chosen.transpose(1, 2).to(scores.dtype).unflatten(2, scores.shape[-2:])


def _directions(features: Tensor) -> Tensor:
    """Features [B, F, ...] of norm 1 at each place; 0 where there are none."""
    return features / (features.norm(dim=1, keepdim=True) + EPS)


def specific_maps(features: Tensor, seeds: Tensor) -> Tensor:
    """Image-specific maps: the cosine of each place's features with each region's prototype, 0 where negative.

    Args:
        features: float32 [B, D, h, w].
        seeds: float32 [B, S, h, w], 0 or 1.

    Returns:
        float32 [B, S, h, w] in 0..1; 0 where a region is empty.
    """
    flat = features.flatten(2)
    prototypes = seeds.flatten(2) @ flat.transpose(1, 2) / flat.shape[2]  # a mean but for a factor, which cancels
    maps = F.normalize(prototypes, dim=2) @ F.normalize(flat, dim=1)
    return maps.relu().unflatten(2, features.shape[-2:])


class SIPE(FourGroups, FrozenNorms):
    """A classifier without bias over a backbone's last features, and a 1x1 convolution on each of its stages.

    Those that inherit build a backbone, call `add_heads`, and give its `stages`.
    """

    new_layers: tuple[str, ...] = ("classifier", "sides")

    def add_heads(self, num_classes: int, channels: Sequence[int], widths: Sequence[int]) -> None:
        """Add classifier and side convolutions.

        Args:
            num_classes: classes without background.
            channels: of the stages.
            widths: channels that each stage gives the hierarchical features.
        """
        pairs = zip(channels, widths, strict=True)
        self.sides = nn.ModuleList(nn.Conv2d(channel, width, 1, bias=False) for channel, width in pairs)
        self.classifier = nn.Conv2d(channels[-1], num_classes, 1, bias=False)

    def stages(self, images: Tensor) -> Sequence[Tensor]:
        """Features of the stages, [B, channels, h, w] each, the last at the resolution of the maps."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> SIPEOutput:
        """Classify normalised images [B, 3, H, W]."""
        stages = self.stages(images)
        maps = self.classifier(stages[-1])
        parts = []
        for side, stage in zip(self.sides, stages, strict=True):
            part = _directions(side(stage.detach()))
            parts.append(F.interpolate(part, maps.shape[-2:], mode="bilinear", align_corners=False))
        return SIPEOutput(maps.mean((2, 3)), maps, torch.cat(parts, dim=1), stages[-1])


class SIPEResNet(SIPE):
    """SIPE on a ResNet of timm's at stride 16, undilated, as published on ResNet50.

    Args:
        num_classes: classes without background.
        architecture: timm's name of the ResNet.
        widths: see `SIPE.add_heads`.
        frozen: layers of the ResNet that are not trained. The batch norms of all keep their statistics; those of the
            others learn scale and shift.

    Raises:
        ParameterError: timm has no such ResNet.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        architecture: str = "resnet50",
        widths: Sequence[int] = (128, 128, 256, 256),
        frozen: Sequence[str] = ("conv1", "bn1", "layer1", "layer2"),
    ) -> None:
        super().__init__()
        self.backbone = undilated_resnet(architecture)
        self.add_heads(num_classes, [info["num_chs"] for info in self.backbone.feature_info[-4:]], widths)
        self.freeze_norms(self.backbone)
        self.backbone.requires_grad_(True)
        for name in frozen:
            self.backbone.get_submodule(name).requires_grad_(False)

    def stages(self, images: Tensor) -> list[Tensor]:
        """See `SIPE`."""
        return resnet_stages(self.backbone, images)[1:]


class SIPEResNet38(SIPE, ResNet38):  # type: ignore[misc]  # of the backbone only its layers
    """SIPE on ResNet38, of which three levels are the stages.

    Args:
        num_classes: classes without background.
        widths: see `SIPE.add_heads`.
        **backbone: see `ResNet38`.
    """

    def __init__(self, num_classes: int, *, widths: Sequence[int] = (128, 256, 256), **backbone: Any) -> None:
        super().__init__(**backbone)
        self.add_heads(num_classes, self.tap_widths, widths)

    def stages(self, images: Tensor) -> Sequence[Tensor]:
        """See `SIPE`."""
        return self.taps(images)


register("sipe_resnet50", SIPEResNet, "SIPE on a ResNet of timm's")
register(
    "sipe_resnet38_tiny",
    SIPEResNet38,
    "SIPE on ResNet38, small enough for the built-in data",
    widths=(16, 32, 32),
    **TINY,
)
