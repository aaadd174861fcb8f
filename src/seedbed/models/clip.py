"""CLIP's image tower (Radford et al. 2021): timm's Vision Transformer for pictures of any size, read block by block.

Names are those of timm's ``vit_base_patch16_clip_quickgelu_224.openai``; OpenAI's own are turned into them by the
layout ``clip_openai``. T = 1 + N tokens: the class token and the patches row by row.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from timm.layers import LayerNorm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from seedbed.data.normalisations import NORMALISATIONS
from seedbed.errors import ImageSizeError
from seedbed.models.transformer import resample_positions

CLIP_MEAN, CLIP_STD = NORMALISATIONS["clip"]


class Step(NamedTuple):
    """What a block leaves behind.

    Attributes:
        tokens: [B, T, D], its output.
        attention: [B, heads, T, T], after the softmax; a row is a query.
    """

    tokens: Tensor
    attention: Tensor


class Heads(NamedTuple):
    """Queries, keys and values of a block's attention, each [B, heads, T, d]."""

    q: Tensor
    k: Tensor
    v: Tensor


def heads_of(block: Any, normed: Tensor) -> Heads:
    """Project normed tokens [B, T, D] to what a block's attention compares and mixes."""
    attention = block.attn
    q, k, v = attention.qkv(normed).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return Heads(q, k, v)


def run_block(block: Any, tokens: Tensor) -> Step:
    """Run a block on tokens [B, T, D]; unlike timm's own forward pass it shows its attention."""
    return run_normed(block, tokens, block.norm1(tokens))


def run_normed(block: Any, tokens: Tensor, normed: Tensor) -> Step:
    """`run_block`, given what ``norm1`` makes of the tokens, for those who want the gradient there."""
    q, k, v = heads_of(block, normed)
    attention = (q @ k.transpose(-1, -2) * block.attn.scale).softmax(-1)
    tokens = tokens + block.attn.proj((attention @ v).transpose(1, 2).flatten(2))
    return Step(tokens + block.mlp(block.norm2(tokens)), attention)


class ClipTower(VisionTransformer):
    """CLIP's image tower: images in, tokens and attention of every block out, projected to where texts lie.

    Sides that are no multiple of the patch lose the rest. The positions of the patches are brought to the image's grid
    bilinearly. Every picture passes through each block once: the published loop takes 76 patches for a text, since
    both have 77 tokens, and runs the last block twice.

    Args:
        dim: of the space of the texts.
        rounded_positions: round positions to float16 once they are on the image's grid, even where nothing moves
            (CLIP-ES, WeCLIP, WeCLIP+; as published).
        **transformer: arguments of timm's VisionTransformer.
    """

    class_tokens = ("cls_token",)
    blocks: Any
    cls_token: nn.Parameter
    pos_embed: nn.Parameter

    def __init__(self, dim: int, *, rounded_positions: bool = False, **transformer: Any) -> None:
        super().__init__(**{"pre_norm": True, **transformer, "num_classes": 0})
        self.dim, self.rounded_positions = dim, rounded_positions
        self.head = nn.Linear(self.embed_dim, dim, bias=False)
        nn.init.normal_(self.head.weight, std=self.embed_dim**-0.5)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the patches of an image.

        Raises:
            ImageSizeError: it is smaller than a patch.
        """
        rows, columns = (
            side // patch for side, patch in zip((height, width), self.patch_embed.patch_size, strict=True)
        )
        if not rows or not columns:
            raise ImageSizeError(f"An image of {height} x {width} pixels is smaller than a patch of this network.")
        return rows, columns

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """The table of positions [1, 1 + h w, D] on a grid (h, w)."""
        of_class, of_patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        if grid != self.patch_embed.grid_size:
            of_patches = resample_positions(of_patches, self.patch_embed.grid_size, "bilinear", size=grid)
        table = torch.cat([of_class, of_patches], dim=1)
        return table.half().to(table.dtype) if self.rounded_positions else table

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """From images [B, 3, H, W] to the first block's input [B, T, D] and the grid (h, w) of the patches."""
        grid = self.grid(*images.shape[-2:])
        patches = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return self.norm_pre(tokens + self.positions(grid)), grid

    def steps(self, tokens: Tensor, first: int = 0, last: int | None = None) -> Iterator[Step]:
        """Run blocks ``first`` to ``last`` (not included; None: all) on tokens [B, T, D], and yield each one's step."""
        for block in list(self.blocks)[first:last]:
            step = run_block(block, tokens)
            tokens = step.tokens
            yield step

    def project(self, tokens: Tensor) -> Tensor:
        """Bring tokens [..., D] of the last block to the space of the texts, [..., dim]; not of unit length."""
        return self.head(self.norm(tokens))

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]  # timm's takes masks of attention too
        """Embed images: the projected class token [B, dim], not of unit length."""
        tokens, _ = self.embed(images)
        return self.project(self.blocks(tokens)[:, 0])


VIT_B_16: dict[str, Any] = {
    "dim": 512,
    "img_size": 224,
    "patch_size": 16,
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "norm_layer": partial(LayerNorm, eps=1e-5),
    "act_layer": "quick_gelu",
}
"""CLIP's ViT-B/16 with its own activation, x sigmoid(1.702 x)."""
