"""AffinityNet (Ahn & Kwak, CVPR 2018): pixel features whose differences tell whether two neighbours share a class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.pair_affinity import RADIUS, pair_affinities
from seedbed.models.registry import register
from seedbed.models.resnet38 import TINY, ResNet38


class AffinityOutput(NamedTuple):
    """What an affinity network gives.

    Attributes:
        pairs: [B, 34, n], affinities in (0, 1] in the order of `pair_affinities`.
        features: [B, C, h, w], the features they were made of.
    """

    pairs: Tensor
    features: Tensor


class AffinitiesOfFeatures:
    """Mixin of affinity networks: from pixel features to affinities of pairs."""

    radius = RADIUS  # of the neighbourhood, in feature cells

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, C, h, w] of normalised images [B, 3, H, W]."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> AffinityOutput:
        """Pair affinities and features of normalised images [B, 3, H, W].

        Raises:
            ParameterError: the feature map is too small for the radius (radius 5: 33 x 65 pixels at least at stride 8).
        """
        features = self.features(images)
        return AffinityOutput(pair_affinities(features, self.radius), features)


class AffinityNet(AffinitiesOfFeatures, ResNet38):  # type: ignore[misc]  # no classifier, only its layers
    """PSA's affinity network on ResNet38: 1x1 convolutions with ELU on three taps, concatenated, mixed by another.

    Args:
        radius: of the neighbourhood, in feature cells.
        feature_widths: channels taken from conv4, conv5 and conv6; ``None`` is 64, 128, 256 over `width_divisor`.
        **backbone: see `ResNet38`.
    """

    new_layers = ("f8_3", "f8_4", "f8_5", "f9")

    def __init__(self, *, radius: int = RADIUS, feature_widths: Sequence[int] | None = None, **backbone: Any) -> None:
        super().__init__(**backbone)
        self.radius = radius
        widths = feature_widths or [max(1, width // backbone.get("width_divisor", 1)) for width in (64, 128, 256)]
        self.f8_3 = nn.Conv2d(self.tap_widths[0], widths[0], 1, bias=False)
        self.f8_4 = nn.Conv2d(self.tap_widths[1], widths[1], 1, bias=False)
        self.f8_5 = nn.Conv2d(self.tap_widths[2], widths[2], 1, bias=False)
        self.f9 = nn.Conv2d(sum(widths), sum(widths), 1, bias=False)
        for conv in (self.f8_3, self.f8_4, self.f8_5):
            nn.init.kaiming_normal_(conv.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, 448, ceil(H / 8), ceil(W / 8)] of normalised images [B, 3, H, W]."""
        taps = self.taps(images)
        parts = [F.elu(conv(tap)) for conv, tap in zip((self.f8_3, self.f8_4, self.f8_5), taps, strict=True)]
        return F.elu(self.f9(torch.cat(parts, dim=1)))


register("affinitynet_resnet38", AffinityNet, "PSA's affinity network on ResNet38", task="affinity")
register(
    "affinitynet_resnet38_tiny",
    AffinityNet,
    "Affinity network, small enough for the built-in data",
    task="affinity",
    feature_widths=(16, 16, 32),
    **TINY,
)
