"""PSA's affinity network on VGG-16 (Ahn & Kwak, CVPR 2018): features of three depths, 448 in all."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.affinitynet import AffinitiesOfFeatures
from seedbed.models.pair_affinity import RADIUS
from seedbed.models.registry import register
from seedbed.models.vgg16 import TINY, VGG16

GROUP_WIDTH = 8


class VGG16AffinityNet(AffinitiesOfFeatures, VGG16):
    """1x1 convolutions with ELU on conv4, conv5 and fc7, concatenated, mixed by another; at stride 8.

    VGG-16 has no norms, so that its maps' values differ in size by orders of magnitude, and affinities, which fall
    exponentially, would all start at 0 without a gradient. So a GroupNorm of eight channels a group stands between
    each 1x1 convolution and its ELU, as in the [Re] paper's head.

    Args:
        radius: of the neighbourhood, in feature cells.
        feature_widths: channels taken from conv4, conv5 and fc7, each a multiple of 8.
        feature_norm: GroupNorm after these convolutions.
        **backbone: see `VGG16`.
    """

    new_layers = ("f8_3", "f8_4", "f8_5", "f9")

    def __init__(
        self,
        *,
        radius: int = RADIUS,
        feature_widths: Sequence[int] = (64, 128, 256),
        feature_norm: bool = True,
        **backbone: Any,
    ) -> None:
        super().__init__(**backbone)
        self.radius = radius
        self.f8_3, self.f8_4, self.f8_5 = (
            _lateral(width_in, width, feature_norm)
            for width_in, width in zip(self.tap_widths, feature_widths, strict=True)
        )
        self.f9 = nn.Conv2d(sum(feature_widths), sum(feature_widths), 1, bias=False)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, 448, ceil(H / 8), ceil(W / 8)] of normalised images [B, 3, H, W]."""
        laterals = (self.f8_3, self.f8_4, self.f8_5)
        parts = [lateral(tap) for lateral, tap in zip(laterals, self.taps(images), strict=True)]
        return F.elu(self.f9(torch.cat(parts, dim=1)))


def _lateral(width_in: int, width: int, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(width_in, width, 1, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, *([nn.GroupNorm(width // GROUP_WIDTH, width)] if norm else []), nn.ELU())


register("affinitynet_vgg16", VGG16AffinityNet, "PSA's affinity network on VGG-16", task="affinity")
register(
    "affinitynet_vgg16_tiny",
    VGG16AffinityNet,
    "PSA's affinity network on VGG-16, small enough for the built-in data",
    task="affinity",
    feature_widths=(16, 16, 32),
    **TINY,
)
