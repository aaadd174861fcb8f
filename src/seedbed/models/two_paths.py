"""CLIP's image tower read along two paths (ExCEL, Yang et al., CVPR 2025): patches that know where they are.

In the last blocks a second path carries the patches: there attention is of queries with queries, keys with keys and
values with values, and no perceptron follows. The class token stays on the original path.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seedbed.models.clip import ClipTower, heads_of, run_block

HeadUse = Literal["own", "sum"]
"""``own``: each head of the second path mixes its own values, and attention is the mean over heads in all blocks.
``sum``: as published, every head's values are mixed by the *sum* of all heads' attention, and the attention of blocks
with two paths is a sum over heads too, so that it weighs as many times more than that of plain blocks."""


class TwoPaths(NamedTuple):
    """What the tower gives for images [B, 3, H, W]; T = 1 + N tokens, L blocks.

    Attributes:
        embeddings: [B, T, E], the class token of the original path and the patches of the second, projected; not of
            unit length.
        outputs: L times [B, T, D], what each block leaves behind.
        attention: L times [B, T, T], of the original path, see `HeadUse`; a row is a query.
        grid: (h, w) of the patches.
    """

    embeddings: Tensor
    outputs: list[Tensor]
    attention: list[Tensor]
    grid: tuple[int, int]


def two_paths(
    tower: ClipTower,
    images: Tensor,
    *,
    blocks: int = 5,
    heads: HeadUse = "own",
    aliased: bool = False,
    likeness: Tensor | None = None,
) -> TwoPaths:
    """Run the tower along both paths.

    Args:
        tower: CLIP's.
        images: [B, 3, H, W].
        blocks: the last ones, which have a second path.
        heads: what heads of the second path mix, see `HeadUse`.
        aliased: as published, outputs are views of tensors that are added to later: that of the last plain block
            becomes the final tokens of both paths, those of the blocks between it and the last one have the next
            block's attention added.
        likeness: [B, N, N], which each head of the second path adds to its attention of patches; None: nothing.
    """
    tokens, grid = tower.embed(images)
    plain = len(tower.blocks) - blocks
    outputs, attention = [], []
    for step in tower.steps(tokens, last=plain):
        tokens = step.tokens
        outputs.append(tokens)
        attention.append(step.attention.mean(1))
    second = tokens
    for block in list(tower.blocks)[plain:]:
        second = second + _second_path(block, tokens, heads, likeness)
        step = run_block(block, tokens)
        tokens = step.tokens
        outputs.append(tokens)
        attention.append(step.attention.sum(1) if heads == "sum" else step.attention.mean(1))
    final = torch.cat([tokens[:, :1], second[:, 1:]], dim=1)
    if aliased:
        outputs = _changed_later(tower, outputs, plain, final)
    return TwoPaths(tower.project(final), outputs, attention, grid)


def _second_path(block: Any, tokens: Tensor, heads: HeadUse, likeness: Tensor | None) -> Tensor:
    """What a block adds to the second path, [B, T, D], of the original path's tokens."""
    parts = heads_of(block, block.norm1(tokens))
    pairs: Any = sum((part @ part.mT * block.attn.scale).softmax(-1) for part in parts) / len(parts)
    if likeness is not None:
        pairs = pairs + torch.nn.functional.pad(likeness, (1, 0, 1, 0))[:, None]
    mixing = pairs.sum(1, keepdim=True) if heads == "sum" else pairs
    return block.attn.proj((mixing @ parts.v).transpose(1, 2).flatten(2))


def _changed_later(tower: ClipTower, outputs: list[Tensor], plain: int, final: Tensor) -> list[Tensor]:
    """Outputs as they are once the tower has run, where they are views of tensors that it adds to in place."""
    found = list(outputs)
    for index in range(plain, len(outputs) - 1):
        block = tower.blocks[index + 1]
        found[index] = outputs[index] + block.attn(block.norm1(outputs[index]))
    if plain:
        found[plain - 1] = final
    return found
