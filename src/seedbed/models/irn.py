"""IRN's class boundaries (Ahn, Cho and Kwak, CVPR 2019): a frozen ResNet, and a small branch on its five stages.

Its other branch, the displacement field, tells instances of a class apart. The backbone carries no gradient, so that
this branch changes nothing about boundaries, and masks of classes do without it: it is left out.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.models.affinitynet import AffinityOutput
from seedbed.models.frozen_norms import FrozenNorms
from seedbed.models.path_affinity import path_affinities
from seedbed.models.registry import register
from seedbed.models.timm_resnet import resnet_stages, undilated_resnet

LARGER = (1, 1, 2, 4, 4)
"""How often a cell of the first stage goes into one of each: strides 4, 4, 8, 16 and 16."""


class BoundaryBranch(nn.Module):
    """Boundary logits of five stages: of each a 1x1 convolution, group norm, enlarged, ReLU; of all a 1x1 convolution.

    Args:
        widths_in: channels of each stage.
        width: channels that each is brought to.
        norm_groups: of the group norms.
    """

    def __init__(self, widths_in: Sequence[int], width: int = 32, norm_groups: int = 4) -> None:
        super().__init__()
        self.level_convs = nn.ModuleList(nn.Conv2d(each, width, 1, bias=False) for each in widths_in)
        self.level_norms = nn.ModuleList(nn.GroupNorm(norm_groups, width) for _ in widths_in)
        self.boundary_conv = nn.Conv2d(len(widths_in) * width, 1, 1)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Stages [B, widths_in[k], h_k, w_k] at strides 4, 4, 8, 16, 16 -> [B, 1, h_0, w_0]."""
        height, width = stages[0].shape[-2:]
        parts = []
        for stage, conv, norm, larger in zip(stages, self.level_convs, self.level_norms, LARGER, strict=True):
            part = norm(conv(stage))
            if larger > 1:
                part = F.interpolate(part, scale_factor=larger, mode="bilinear", align_corners=False)
            parts.append(part[..., :height, :width].relu())
        return self.boundary_conv(torch.cat(parts, dim=1))


class BoundaryNetwork(FrozenNorms):
    """IRN without displacements: images to class boundaries at a quarter of their sides, and these to affinities.

    Args:
        architecture: timm's name of the ResNet. Its last stage is neither strided nor dilated (as published), and
            nothing of it is trained.
        radius: pairs are less than this far apart, in cells of 4 pixels.
        **backbone: overrides of the ResNet.

    Raises:
        ParameterError: timm has no such ResNet.
    """

    new_layers = ("branch",)

    def __init__(self, *, architecture: str = "resnet50", radius: int = 10, **backbone: Any) -> None:
        super().__init__()
        self.radius = radius
        self.backbone = undilated_resnet(architecture, **backbone)
        self.backbone.requires_grad_(False)
        self.branch = BoundaryBranch([info["num_chs"] for info in self.backbone.feature_info])
        self.freeze_norms(self.backbone)

    @torch.no_grad()
    def stages(self, images: Tensor) -> list[Tensor]:
        """The pooled stem's output and the four stages', without gradient."""
        return resnet_stages(self.backbone, images)

    def boundary_logits(self, images: Tensor) -> Tensor:
        """Logits of class boundaries [B, ceil(H / 4), ceil(W / 4)] of normalised images [B, 3, H, W]."""
        return self.branch(self.stages(images))[:, 0]

    def boundaries(self, images: Tensor) -> Tensor:
        """Class boundaries in 0..1, [B, ceil(H / 4), ceil(W / 4)]: the mean logits of images and mirrored images."""
        both = self.boundary_logits(torch.cat([images, images.flip(-1)])).float()
        plain, mirrored = both.chunk(2)
        return ((plain + mirrored.flip(-1)) / 2).sigmoid()

    def forward(self, images: Tensor) -> AffinityOutput:
        """Affinities of pairs in 0..1, and the boundaries [B, 1, h, w] they were made of, of images [B, 3, H, W].

        Raises:
            ParameterError: the boundary map is too small for the radius (radius 10: 37 x 73 pixels at least).
        """
        boundary = self.boundary_logits(images).float().sigmoid()
        return AffinityOutput(path_affinities(boundary, self.radius), boundary[:, None])


register("irn_resnet50", BoundaryNetwork, "IRN's class boundaries on a frozen ResNet of timm's", task="affinity")
