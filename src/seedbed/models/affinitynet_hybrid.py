"""The affinity network of the [Re] paper (ReScience C 2022), on the convolutional part of a hybrid ViT.

Features of the CNN are doubled in size and sent through two 1x1 convolutions; the whole network is trained.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.affinitynet import AffinitiesOfFeatures
from seedbed.models.pair_affinity import RADIUS
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import create_model, register


class AffinityHead(nn.Module):
    """Features to affinities: bilinear x2, 1x1 conv + GroupNorm + ELU, 1x1 conv + ELU.

    Args:
        width_in: channels of the CNN's map.
        width: channels of both convolutions.
        norm_groups: of the GroupNorm.
    """

    def __init__(self, width_in: int, width: int = 512, norm_groups: int = 32) -> None:
        super().__init__()
        self.feature_conv = nn.Conv2d(width_in, width, 1, bias=False)
        self.feature_norm = nn.GroupNorm(norm_groups, width)
        self.affinity_conv = nn.Conv2d(width, width, 1, bias=False)
        nn.init.kaiming_normal_(self.feature_conv.weight)
        nn.init.xavier_uniform_(self.affinity_conv.weight, gain=4)

    def forward(self, features: Tensor) -> Tensor:
        """[B, width_in, h, w] -> [B, width, 2h, 2w]."""
        x = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.elu(self.feature_norm(self.feature_conv(x)))
        return F.elu(self.affinity_conv(x))


class HybridAffinityNet(AffinitiesOfFeatures, FourGroups, nn.Module):
    """The CNN of a hybrid ViT with an `AffinityHead`.

    Args:
        hybrid: name of a hybrid ViT whose tokens come from ``patch_embed.backbone``.
        head_width, head_norm_groups: of the head.
        radius: of the neighbourhood, in doubled feature cells.
        **hybrid_arguments: overrides of the hybrid.

    Raises:
        ParameterError: the model named is no hybrid.
    """

    new_layers = ("head",)

    def __init__(
        self,
        *,
        hybrid: str = "vit_base_r50_s16_384",
        head_width: int = 512,
        head_norm_groups: int = 32,
        radius: int = RADIUS,
        **hybrid_arguments: Any,
    ) -> None:
        super().__init__()
        hybrid_arguments.setdefault("depth", 1)  # only the CNN is kept
        embed: Any = getattr(create_model(hybrid, num_classes=1, **hybrid_arguments), "patch_embed", None)
        if not hasattr(embed, "backbone"):
            raise ParameterError(f"Model '{hybrid}' is no hybrid: its tokens do not come from a CNN. Choose one.")
        self.backbone = embed.backbone
        self.head = AffinityHead(embed.proj.in_channels, head_width, head_norm_groups)
        self.radius = radius

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, head_width, 2h, 2w] of normalised images [B, 3, H, W]; h x w is the CNN's map."""
        return self.head(self.backbone(images))


HALF = (0.5, 0.5, 0.5)
register(
    "affinitynet_hybrid",
    HybridAffinityNet,
    "[Re] affinity network on R50 + ViT-B",
    task="affinity",
    mean=HALF,
    std=HALF,
)
register(
    "affinitynet_hybrid_tiny",
    HybridAffinityNet,
    "[Re] affinity network on the tiny hybrid",
    task="affinity",
    mean=HALF,
    std=HALF,
    hybrid="vit_tiny_r_s8",
    head_width=64,
    head_norm_groups=8,
)
