"""Gradients of a class's logit with respect to tokens and attention, written out by hand.

Autograd would also compute what no explanation reads (every weight's gradient, the first blocks') and keep a graph.
Here the gradient starts at one logit y_c, not its probability, and stops where a method stops. P pairs of image and
class share their image's forward records.
"""

from torch import Tensor

from seedbed.explain.forward import BlockRecord, ReadRows, split_heads
from seedbed.explain.layers import Norm, derivative
from seedbed.explain.targets import Pairs
from seedbed.explain.vit import Readout


def logit_gradient(readout: Readout, last: BlockRecord | ReadRows, pairs: Pairs) -> Tensor:
    """Return d y_c / d (output rows of the last block), [P, r, D]."""
    return readout.vjp(pairs.take(last.out), readout.head.weight[pairs.label])


def through_mlp(record: BlockRecord | ReadRows, gradient: Tensor, pairs: Pairs) -> Tensor:
    """Take the gradient [P, r, D] at the block's output to its middle, past the MLP branch and the skip."""
    block = record.block
    branch = gradient if block.scale2 is None else gradient * block.scale2
    branch = block.fc2.vjp(branch).mul_(pairs.take(derivative(block.activation, record.hidden)))
    return block.norm2.vjp(pairs.take(record.middle), block.fc1.vjp(branch)).add_(gradient)


def at_mixed_values(record: BlockRecord | ReadRows, gradient: Tensor) -> Tensor:
    """Take the gradient [P, r, D] at the block's middle to attention times values, by heads: [P, h, r, d]."""
    block = record.block
    branch = gradient if block.scale1 is None else gradient * block.scale1
    return split_heads(block.proj.vjp(branch), block.heads)


def at_attention(record: BlockRecord | ReadRows, mixed_gradient: Tensor, pairs: Pairs) -> Tensor:
    """Return G = d y_c / d A, [P, h, r, T], from the gradient at attention times values."""
    return mixed_gradient @ pairs.take(record.v).transpose(-1, -2)


def through_attention(
    record: BlockRecord, gradient: Tensor, mixed_gradient: Tensor, attention_gradient: Tensor, pairs: Pairs
) -> Tensor:
    """Take the gradient [P, r, D] at the block's middle to its input [P, T, D], past the attention and the skip."""
    block, attention = record.block, pairs.take(record.attention)
    scores = attention_gradient * attention
    scores.addcmul_(scores.sum(-1, keepdim=True), attention, value=-1).mul_(block.scale)
    projected = gradient.new_empty(len(gradient), record.x.shape[1], 3, block.heads, mixed_gradient.shape[-1])
    q_part, k_part, v_part = projected.permute(2, 0, 3, 1, 4)  # each [P, h, T, d]
    _fill_rows(q_part, _past_norm(block.q_norm, _raw_q(record), scores @ pairs.take(record.k), pairs), record.rows)
    k_part.copy_(_past_norm(block.k_norm, _raw_k(record), scores.transpose(-1, -2) @ pairs.take(record.q), pairs))
    v_part.copy_(attention.transpose(-1, -2) @ mixed_gradient)
    result = block.norm1.vjp(pairs.take(record.x), block.qkv.vjp(projected.flatten(2)))
    result[:, record.rows] += gradient
    return result


def _fill_rows(target: Tensor, values: Tensor, rows: slice) -> None:
    if values.shape[2] != target.shape[2]:
        target.zero_()
    target[:, :, rows] = values


def _raw_q(record: BlockRecord) -> Tensor:
    return split_heads(record.projected.chunk(3, -1)[0], record.block.heads)[:, :, record.rows]


def _raw_k(record: BlockRecord) -> Tensor:
    return split_heads(record.projected.chunk(3, -1)[1], record.block.heads)


def _past_norm(norm: Norm | None, x: Tensor, gradient: Tensor, pairs: Pairs) -> Tensor:
    return gradient if norm is None else norm.vjp(pairs.take(x), gradient)
