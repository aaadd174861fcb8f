"""DINOv2's image tower (Oquab et al. 2024): timm's Vision Transformer for pictures of any size, patches out.

Names are those of timm's ``vit_small_patch14_dinov2.lvd142m``, which are DINOv2's own but for its mask token.
"""

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from seedbed.models.transformer import resample_positions

OFFSET = 0.1  # added to the sides of the grid that positions are brought to, as in DINOv2's own code


class DinoTower(VisionTransformer):
    """Images in, normalised tokens of the patches out.

    Images are first brought to whole patches, bilinearly and at least to one. The table of positions is resampled
    bicubically.

    Args:
        **transformer: arguments of timm's VisionTransformer.
    """

    blocks: Any
    cls_token: nn.Parameter
    pos_embed: nn.Parameter

    def __init__(self, **transformer: Any) -> None:
        super().__init__(**{**transformer, "num_classes": 0})

    def whole_patches(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] at the size of as many whole patches as fit."""
        sides = zip(images.shape[-2:], self.patch_embed.patch_size, strict=True)
        size = [max(1, side // patch) * patch for side, patch in sides]
        return F.interpolate(images, size, mode="bilinear", align_corners=False)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """The table of positions [1, 1 + h w, D] on a grid (h, w)."""
        own = self.patch_embed.grid_size
        if grid == own:
            return self.pos_embed
        factors = tuple((side + OFFSET) / cells for side, cells in zip(grid, own, strict=True))
        of_patches = resample_positions(self.pos_embed[:, 1:], own, scale_factor=factors)
        return torch.cat([self.pos_embed[:, :1], of_patches], dim=1)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]  # timm's takes masks of attention too
        """From images [B, 3, H, W] to the patches' tokens behind the last norm, [B, D, h, w]."""
        patches = self.patch_embed.proj(self.whole_patches(images))
        grid = (patches.shape[-2], patches.shape[-1])
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches.flatten(2).mT], dim=1)
        tokens = self.norm(self.blocks(tokens + self.positions(grid)))
        return tokens[:, 1:].mT.unflatten(2, grid)


VIT_S_14: dict[str, Any] = {
    "img_size": 518,
    "patch_size": 14,
    "embed_dim": 384,
    "depth": 12,
    "num_heads": 6,
    "init_values": 1e-5,
}
"""DINOv2's ViT-S/14."""
