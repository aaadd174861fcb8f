"""AffinityNet (Ahn & Kwak, CVPR 2018) on a plain Vision Transformer: for where no other weights are at hand."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from seedbed.models.affinitynet import AffinitiesOfFeatures
from seedbed.models.affinitynet_multilevel import HALF, MultiLevelHead
from seedbed.models.pair_affinity import RADIUS
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.plain_vit import block_maps, block_numbers, plain_vit
from seedbed.models.registry import register


class ViTAffinityNet(AffinitiesOfFeatures, FourGroups, nn.Module):
    """`MultiLevelHead` on the tokens of chosen blocks, as PSA joins taps; cells are half a patch a side.

    Args:
        architecture: timm's name of the transformer.
        blocks: whose tokens are read, from 0, or from the end as -1.
        level_width, head_width, head_norm_groups: of the head.
        radius: of the neighbourhood, in cells.
        **options: of the transformer.

    Raises:
        ParameterError: timm has no such plain Vision Transformer, or it has no such block.
    """

    new_layers = ("head",)

    def __init__(
        self,
        *,
        architecture: str = "vit_tiny_patch16_224",
        blocks: Sequence[int] = (3, 7, 11),
        level_width: int = 64,
        head_width: int = 192,
        head_norm_groups: int = 16,
        radius: int = RADIUS,
        **options: Any,
    ) -> None:
        super().__init__()
        self.vit = plain_vit(architecture, **options)
        self.blocks, self.radius = block_numbers(self.vit, blocks), radius
        self.head = MultiLevelHead(
            [self.vit.embed_dim] * len(self.blocks),
            level_width=level_width,
            width=head_width,
            norm_groups=head_norm_groups,
        )

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, head_width, 2h, 2w] of normalised images [B, 3, H, W]; h x w is the grid of patches."""
        levels = block_maps(self.vit, images, self.blocks)
        return self.head(levels, (2 * levels[0].shape[-2], 2 * levels[0].shape[-1]))


register("affinitynet_vit", ViTAffinityNet, "AffinityNet on a plain ViT", task="affinity", mean=HALF, std=HALF)
