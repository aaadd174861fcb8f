"""AffinityNet (Ahn & Kwak, CVPR 2018) on a ResNet of timm's: PSA's head on a backbone whose weights are small."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.affinitynet import AffinitiesOfFeatures
from seedbed.models.frozen_norms import FrozenNorms
from seedbed.models.pair_affinity import RADIUS
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import register
from seedbed.models.timm_resnet import dilated_resnet

STAGES = (2, 3, 4)  # the last three, as timm counts them, all at stride 8


class ResNetAffinityNet(AffinitiesOfFeatures, FourGroups, FrozenNorms):
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
        stages = self.backbone.forward_intermediates(images, indices=STAGES, intermediates_only=True)
        parts = zip(self.stage_convs, stages, strict=True)
        return F.elu(self.affinity_conv(torch.cat([F.elu(conv(stage)) for conv, stage in parts], dim=1)))


register("affinitynet_resnet50", ResNetAffinityNet, "PSA's affinity network on a ResNet of timm's", task="affinity")
