"""The forward pass of a Vision Transformer, block by block, with everything its explanations read.

Images are B, tokens T (prefix tokens first), channels D, heads h of size d, classes C. In the last block only the rows
that the readout reads (r of them: the class token, or the averaged tokens) are carried past the attention.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from seedbed.explain.vit import Block, Readout, ViT

Item = TypeVar("Item")


@dataclass(frozen=True)
class BlockRecord:
    """What one block computed. ``rows`` says which tokens went past the attention; elsewhere r = T."""

    block: Block
    rows: slice
    x: Tensor  # [B, T, D] input
    normed: Tensor  # [B, T, D] after norm1
    projected: Tensor  # [B, T, 3 h d] output of qkv, bias included
    q: Tensor  # [B, h, r, d], after its norm if it has one
    k: Tensor  # [B, h, T, d]
    v: Tensor  # [B, h, T, d]
    scores: Tensor  # [B, h, r, T], scaled, before the softmax
    attention: Tensor  # [B, h, r, T], after it
    mixed: Tensor  # [B, r, h d] attention times values, heads side by side
    attended: Tensor  # [B, r, D] output of proj
    middle: Tensor  # [B, r, D] after the first residual
    middle_normed: Tensor  # [B, r, D] after norm2
    hidden: Tensor  # [B, r, F] before the activation
    activated: Tensor  # [B, r, F] after it
    transformed: Tensor  # [B, r, D] output of fc2
    out: Tensor  # [B, r, D] after the second residual


@dataclass(frozen=True)
class ReadRows:
    """A block's record cut to the rows that the classifier reads, and all values: a small part of the whole."""

    block: Block
    scores: Tensor  # [B, h, r, T]
    v: Tensor  # [B, h, T, d]
    middle: Tensor  # [B, r, D]
    hidden: Tensor  # [B, r, F]
    out: Tensor  # [B, r, D]


def read_rows(record: BlockRecord, rows: slice) -> ReadRows:
    """Keep of ``record`` what a backward pass along the residual stream of ``rows`` needs."""
    if record.rows == rows:  # the last block is cut already
        rows = slice(None)
    cut = {name: getattr(record, name)[:, rows].clone() for name in ("middle", "hidden", "out")}
    return ReadRows(record.block, record.scores[:, :, rows].clone(), record.v.clone(), **cut)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """[B, T, h d] -> [B, h, T, d]"""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(tokens: Tensor) -> Tensor:
    """[B, h, T, d] -> [B, T, h d]"""
    return tokens.transpose(1, 2).flatten(2)


def attention_scores(block: Block, projected: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return q [B, h, r, d], k, v [B, h, T, d] and the scaled scores [B, h, r, T] from the output of qkv."""
    q, k, v = (split_heads(part, block.heads) for part in projected.chunk(3, dim=-1))
    q = q[:, :, rows]
    q = q if block.q_norm is None else block.q_norm(q)
    k = k if block.k_norm is None else block.k_norm(k)
    return q, k, v, (q * block.scale) @ k.transpose(-1, -2)


def run_block(block: Block, x: Tensor, rows: slice = slice(None)) -> BlockRecord:
    """Run one block on tokens [B, T, D]; past the attention only ``rows`` are computed."""
    normed = block.norm1(x)
    projected = block.qkv(normed)
    q, k, v, scores = attention_scores(block, projected, rows)
    attention = scores.softmax(-1)
    mixed = join_heads(attention @ v)
    attended = block.proj(mixed)
    middle = x[:, rows] + scaled(attended, block.scale1)
    middle_normed = block.norm2(middle)
    hidden = block.fc1(middle_normed)
    activated = _activate(block.activation, hidden)
    transformed = block.fc2(activated)
    out = middle + scaled(transformed, block.scale2)
    return BlockRecord(
        block, rows, x, normed, projected, q, k, v, scores, attention, mixed, attended,
        middle, middle_normed, hidden, activated, transformed, out,
    )  # fmt: skip


def run_blocks(vit: ViT, tokens: Tensor, readout: Readout) -> Iterator[BlockRecord]:
    """Yield the record of each block in turn; a caller keeps what it needs, and the rest is freed."""
    for index in range(len(vit)):
        last = index == len(vit) - 1
        record = run_block(vit.block(index), tokens, readout.rows if last else slice(None))
        tokens = record.out
        yield record


def attention_only(vit: ViT, tokens: Tensor) -> Iterator[Tensor]:
    """Yield the attention [B, h, T, T] of each block, all rows; the last block stops there."""
    for index in range(len(vit) - 1):
        record = run_block(vit.block(index), tokens)
        tokens = record.out
        yield record.attention
    block = vit.block(len(vit) - 1)
    *_, scores = attention_scores(block, block.qkv(block.norm1(tokens)), slice(None))
    yield scores.softmax(-1)


def last_of(records: Iterator[Item]) -> Item:
    """Run through ``records`` and return the last, holding no other."""
    return deque(records, maxlen=1).pop()


def scaled(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor


def _activate(activation: nn.Module, x: Tensor) -> Tensor:
    return activation(x.clone() if getattr(activation, "inplace", False) else x)


def logits_of(readout: Readout, record: BlockRecord | ReadRows) -> Tensor:
    """Return the logits [B, C] given the record of the last block."""
    return readout.logits(record.out)
