"""MCTformer-V2 (Xu et al., CVPR 2022): a DeiT with one class token per class and a convolutional head on the patches.

It is the network of AReAM's ``MCTformer`` rows. Parameter names are those of the published checkpoints.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.registry import register
from seedbed.models.transformer import (
    AttentionRecord,
    Block,
    PositionTable,
    drop_path_rates,
    init_transformer_weights,
    patches_a_side,
    position_waves,
    resample_positions,
    start_by_similarity,
)


class MCTformerOutput(NamedTuple):
    """What one forward pass gives; `C` classes, `h` x `w` patches, `T = C + h * w` tokens (classes first).

    Attributes:
        class_logits: [B, C], the mean over the components of each class token.
        patch_logits: [B, C], `patch_maps` pooled: V2 takes their spatial mean.
        patch_maps: [B, C, h, w], the convolutional head on the patch tokens, signed.
        attention: per layer [B, T, T] or [B, heads, T, T] after the softmax; ``None`` unless asked for.
        scores: the same before the softmax, scaled by 1/√d.
    """

    class_logits: Tensor
    patch_logits: Tensor
    patch_maps: Tensor
    attention: list[Tensor] | None
    scores: list[Tensor] | None

    @property
    def logits(self) -> Tensor:
        """[B, C], those of the class tokens, by which the published code judges an image."""
        return self.class_logits

    @property
    def heads(self) -> dict[str, Tensor]:
        """The logits of both heads by name."""
        return {"class": self.class_logits, "patch": self.patch_logits}


class PatchEmbedding(nn.Module):
    """Non-overlapping patches to tokens; rows and columns that fill no patch are left out."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, dim, H // patch, W // patch]."""
        return self.proj(images)


class MCTformer(nn.Module):
    """MCTformer-V2.

    Args:
        num_classes: classes C without background.
        img_size: side of the square training image; sets the size of the position table. Any size can be fed.
        patch_size, embed_dim, depth, num_heads, mlp_ratio: the transformer (defaults: DeiT-S).
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        similarity: see `start_by_similarity`; 0 starts queries and keys apart, as published.
        waves: amplitude of the sine waves that the positions of the patches start from; 0: random, as published.
    """

    new_layers = ("head",)
    class_tokens: tuple[str, ...] = ("cls_token",)
    """Parameters [1, C, dim] that stand for classes."""
    output_type = MCTformerOutput
    # How `seedbed.models.mctformer_maps.fuse` makes the network's map: V2 sums over layers, without a square root.
    attention_is_mean, map_is_root = False, False

    def __init__(
        self,
        num_classes: int,
        *,
        img_size: int = 224,
        patch_size: int = 16,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.1,
        similarity: float = 0.0,
        waves: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes, self.patch_size = num_classes, patch_size
        self.side = patches_a_side(img_size, patch_size)  # of the position table
        self.cls_token = nn.Parameter(torch.zeros(1, num_classes, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, num_classes + self.side**2, embed_dim))
        self.patch_embed = PatchEmbedding(patch_size, embed_dim)
        rates = drop_path_rates(drop_path_rate, depth)
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_ratio, rate) for rate in rates)
        # Part of every published checkpoint, never applied: V2 reads the tokens before the last norm.
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6).requires_grad_(False)
        self.head = nn.Conv2d(embed_dim, num_classes, kernel_size=3, padding=1)
        self.apply(init_transformer_weights)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if waves:
            self.pos_embed.data[:, num_classes:] += waves * position_waves(self.side, embed_dim)
        start_by_similarity(self, similarity)

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not decayed although they are no vectors."""
        return {"cls_token", "pos_embed"}

    def forward(self, images: Tensor, attention: str | None = None, scores: str | None = None) -> MCTformerOutput:
        """Classify normalised images [B, 3, H, W] of any size of at least one patch.

        Args:
            images: float tensor, normalised with the ImageNet mean and standard deviation.
            attention, scores: which attention of all layers to return, see `AttentionRecord`.

        Raises:
            ParameterError: an image is smaller than a patch, or a mode is unknown.
        """
        record = AttentionRecord(attention, scores)
        class_tokens, patch_tokens = self.tokens(images, record)
        patch_maps = self.head(patch_tokens)
        return self.output_type(
            class_tokens.mean(dim=-1), self.pool(patch_maps), patch_maps, record.attention, record.scores
        )

    def pool(self, patch_maps: Tensor) -> Tensor:
        """Patch logits [B, C] of the patch head's maps [B, C, h, w]."""
        return patch_maps.mean(dim=(2, 3))

    def tokens(self, images: Tensor, record: AttentionRecord | None = None) -> tuple[Tensor, Tensor]:
        """Class tokens [B, C, dim] and patch tokens [B, dim, h, w] after the last block."""
        height, width = images.shape[-2:]
        if min(height, width) < self.patch_size:
            raise ParameterError(f"An image of {height} x {width} is smaller than a patch of {self.patch_size}.")
        patches = self.patch_embed(images)
        grid = patches.shape[-2:]
        class_tokens = self.cls_token.expand(len(images), -1, -1)
        x = torch.cat([class_tokens, patches.flatten(2).transpose(1, 2)], dim=1)
        x = x + self.positions((height, width))
        for block in self.blocks:
            x = block(x, record)
        class_tokens, patch_tokens = x.split([self.num_classes, x.shape[1] - self.num_classes], dim=1)
        return class_tokens, patch_tokens.transpose(1, 2).unflatten(2, grid)

    def positions(self, image_size: tuple[int, int]) -> Tensor:
        """Position embeddings [1, C + h * w, dim] for an image of `image_size` (height, width) pixels.

        As recorded, the table is used unchanged only for a square image with as many patches; otherwise its patches
        are resampled bicubically with the factor (n + 0.1) / side per axis. The factor itself, not the size it leads
        to, drives the sampling grid, so a plain resize to n differs by some per cent.
        """
        height, width = (size // self.patch_size for size in image_size)
        if height * width == self.side**2 and image_size[0] == image_size[1]:
            return self.pos_embed
        classes, patches = self.pos_embed.split([self.num_classes, self.side**2], dim=1)
        factor = ((height + 0.1) / self.side, (width + 0.1) / self.side)
        return torch.cat([classes, resample_positions(patches, scale_factor=factor)], dim=1)

    @property
    def position_tables(self) -> tuple[PositionTable, ...]:
        """Its tables of positions."""
        return (PositionTable("pos_embed", ("cls_token",), (self.side, self.side)),)

    def position_tensors(self, classes: Tensor, patches: Tensor) -> dict[str, Tensor]:
        """Parameters by name that hold positions of class tokens [1, C, dim] and of patches [1, side², dim]."""
        return {"pos_embed": torch.cat([classes, patches], dim=1)}


register("mctformerv2_small", MCTformer, "MCTformer-V2 on DeiT-S, 224 px")
register(
    "mctformerv2_tiny",
    MCTformer,
    "MCTformer-V2, small enough for the built-in data, 96 px",
    img_size=96,
    patch_size=8,
    embed_dim=96,
    depth=4,
    num_heads=4,
    mlp_ratio=3.0,
    drop_path_rate=0.0,
    similarity=0.8,
    waves=1.0,
)
