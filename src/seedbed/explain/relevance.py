"""Relevance propagation from a logit down through the blocks of a Vision Transformer (Chefer et al., CVPR 2021).

Three steps lead through a block: ``past_mlp``, ``to_attention``, ``past_attention``; a method stops where it has what
it reads.
"""

from torch import Tensor
from torch.nn.functional import one_hot

from seedbed.explain.forward import BlockRecord, join_heads, scaled, split_heads
from seedbed.explain.relevance_rules import Rules, inverse, through_copy, through_product, through_sum
from seedbed.explain.targets import Pairs
from seedbed.explain.vit import Readout


def logit_relevance(readout: Readout, last: BlockRecord, rules: Rules, pairs: Pairs) -> Tensor:
    """Return the relevance [P, r, D] of the last block's output rows.

    It starts with 1 at the class, not with the logit's value. Averaged tokens share the relevance of their mean in
    proportion to their values, as summands do.
    """
    features = readout.features(last.out)
    logits = readout.head(features)
    start = one_hot(pairs.label, logits.shape[1]).to(logits.dtype)
    relevance = rules.linear(readout.head, features, logits, start, pairs.take)
    normed = last.out if readout.norm_before is None else readout.norm_before(last.out)
    if readout.mean:
        total = normed.sum(1, keepdim=True)
        return relevance.unsqueeze(1) * pairs.take(normed * inverse(total))
    return through_copy(normed, relevance.unflatten(1, normed.shape[1:]), pairs.take)


def past_mlp(record: BlockRecord, relevance: Tensor, rules: Rules, pairs: Pairs) -> Tensor:
    """Take relevance [P, r, D] at the block's output to its middle."""
    block, take = record.block, pairs.take
    branch = scaled(record.transformed, block.scale2)
    skip, relevance = through_sum(record.middle, branch, record.out, relevance, rules, take)
    relevance = rules.linear(block.fc2, record.activated, record.transformed, relevance, take)
    relevance = rules.linear(block.fc1, record.middle_normed, record.hidden, relevance, take)
    return through_copy(record.middle, skip.add_(relevance), take)


def to_attention(record: BlockRecord, relevance: Tensor, rules: Rules, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Take relevance [P, r, D] at the block's middle to the skip [P, r, D], A [P, h, r, T] and values [P, h, T, d]."""
    block, take = record.block, pairs.take
    branch = scaled(record.attended, block.scale1)
    skip, relevance = through_sum(record.x[:, record.rows], branch, record.middle, relevance, rules, take)
    relevance = rules.linear(block.proj, record.mixed, record.attended, relevance, take)
    mixed, relevance = split_heads(record.mixed, block.heads), split_heads(relevance, block.heads)
    of_attention, of_values = through_product(record.attention, record.v, mixed, relevance, take)
    return skip, of_attention, of_values


def past_attention(
    record: BlockRecord, skip: Tensor, of_attention: Tensor, of_values: Tensor, rules: Rules, pairs: Pairs
) -> Tensor:
    """Take the relevance of the skip, A and the values to the block's input [P, T, D].

    Relevance passes the softmax unchanged; the product of queries and keys is taken before its scale.
    """
    block, take = record.block, pairs.take
    products = record.scores / block.scale
    of_q, of_k = through_product(record.q, record.k.transpose(-1, -2), products, of_attention, take)
    projected = of_values.new_zeros(len(of_values), 3, *of_values.shape[1:])
    projected[:, 0, :, record.rows], projected[:, 1], projected[:, 2] = of_q, of_k.transpose(-1, -2), of_values
    relevance = join_heads(projected.flatten(1, 2))  # [P, T, 3 h d], in the order of qkv's outputs
    relevance = rules.linear(block.qkv, record.normed, record.projected, relevance, take)
    relevance[:, record.rows] += skip
    return through_copy(record.x, relevance, take)
