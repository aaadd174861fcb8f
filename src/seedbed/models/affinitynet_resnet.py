"""AffinityNet (Ahn & Kwak, CVPR 2018) on a ResNet of timm's: PSA's head on a backbone whose weights are small."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.affinitynet import AffinityOutput
from seedbed.models.pair_affinity import RADIUS, pair_affinities
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import register
from seedbed.models.timm_resnet import FrozenNorms, dilated_resnet, stages


class ResNetAffinityNet(FourGroups, FrozenNorms):
    """1x1 convolutions with ELU on the last three stages, concatenated, and mixed by another.

    Args:
        architecture: timm's name of the ResNet.
        radius: of the neighbourhood, in feature cells.
        feature_widths: channels taken from each of the three stages.
        freeze_norm: keep the backbone's batch norms as they were learned.

    Raises:
        ParameterError: timm has no such ResNet.
    """

    new_layers = ("stage_convs", "affinity_conv")

    def __init__(
        self,
        *,
        architecture: str = "resnet50",
        radius: int = RADIUS,
        feature_widths: Sequence[int] = (64, 128, 256),
        freeze_norm: bool = True,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.backbone = dilated_resnet(architecture)
        channels = [info["num_chs"] for info in self.backbone.feature_info[-3:]]
        convs = [nn.Conv2d(c, width, 1, bias=False) for c, width in zip(channels, feature_widths, strict=True)]
        self.stage_convs = nn.ModuleList(convs)
        self.affinity_conv = nn.Conv2d(sum(feature_widths), sum(feature_widths), 1, bias=False)
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight)
        nn.init.xavier_uniform_(self.affinity_conv.weight, gain=4)
        if freeze_norm:
            self.freeze_norms(self.backbone)

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, C, ceil(H / 8), ceil(W / 8)] of normalised images [B, 3, H, W]."""
        parts = zip(self.stage_convs, stages(self.backbone, images), strict=True)
        return F.elu(self.affinity_conv(torch.cat([F.elu(conv(stage)) for conv, stage in parts], dim=1)))

    def forward(self, images: Tensor) -> AffinityOutput:
        """Pair affinities and features of normalised images [B, 3, H, W].

        Raises:
            ParameterError: the feature map is too small for the radius (radius 5: 33 x 65 pixels at least).
        """
        features = self.features(images)
        return AffinityOutput(pair_affinities(features, self.radius), features)


register("affinitynet_resnet50", ResNetAffinityNet, "PSA's affinity network on a ResNet of timm's", task="affinity")
