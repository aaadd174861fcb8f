"""AttnLRP (Achtibat et al., ICML 2024). Beyond the four papers.

The rules are kept in the form "input times a modified gradient": ``g`` [P, ..., channels] is carried down, and the
relevance of a tensor x is ``x * g``. In that form sums and linear layers (epsilon rule, epsilon to 0) carry the
ordinary gradient, as does the softmax (paper, proposition 3.1); a product of two tensors gives each factor half
(proposition 3.3); GELU divides its output by its input (identity rule), and a norm holds its deviation constant
(proposition 3.4).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.explain.forward import BlockRecord, join_heads, logits_of, run_blocks, split_heads
from seedbed.explain.layers import Linear, Norm
from seedbed.explain.method_registry import explainer
from seedbed.explain.support import unreadable
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.vit import Readout, ViT


@explainer(
    "attnlrp",
    needs=unreadable,
    beyond_papers=True,
    description="AttnLRP: relevance propagation with rules of its own for softmax, products and norms",
)
def attnlrp(model: nn.Module, images: Tensor, targets: Tensor | None, *, gamma: float = 0.05) -> Tensor:
    """Return [B, K, h, w], signed: the relevance of each patch embedding, summed over channels.

    It starts with the logit's value and stops at the patch embedding's output; the class token, positions and biases
    keep their own shares.

    Args:
        model: a timm Vision Transformer.
        images: [B, channels, H, W].
        targets: int64 [B, K], or None for the predicted class.
        gamma: >= 0, how much linear layers favour contributions of their output's sign (the paper's advice against
            noisy maps of Vision Transformers); 0 is the epsilon rule.
    """
    if gamma < 0:
        raise ParameterError(f"gamma must be at least 0, not {gamma}.")
    vit = ViT(model)
    readout = vit.readout()
    patches, grid = vit.patches(images)
    tokens = vit.tokens(patches)
    records = list(run_blocks(vit, vit.norm_pre(tokens), readout))
    contents = patches.flatten(1, -2).to(vit.dtype)

    def explain(pairs: Pairs) -> Tensor:
        g = _from_logit(readout, records[-1], gamma, pairs)
        for record in reversed(records):
            g = _past_attention(record, _past_mlp(record, g, gamma, pairs), gamma, pairs)
        g = _past_norm(vit.pre_norm(), tokens, g, pairs)[:, vit.prefix :]
        return (g * pairs.take(contents)).sum(-1)

    return explain_pairs(resolve(targets, logits_of(readout, records[-1])), explain, grid)


def past_linear(layer: Linear, x: Tensor, y: Tensor, g: Tensor, gamma: float, pairs: Pairs) -> Tensor:
    """Take g [P, ..., out] past a linear layer ``y = W x + b`` by the gamma rule.

    Where y_j > 0, R_ij = (c_ij + gamma max(c_ij, 0)) R_j / (y_j + gamma sum of positive contributions), c_ij = w_ji
    x_i, the bias being one contribution more; where y_j < 0 the same with negative ones. Positive and negative parts
    of c are (c +- |c|) / 2, which takes products with W and |W| alone.
    """
    if gamma == 0:
        return layer.vjp(g)
    magnitude, sign = layer.weight.abs(), y.sign()
    boost = layer.without_bias(y) + sign * F.linear(x.abs(), magnitude)
    if layer.bias is not None:
        boost = boost + layer.bias + sign * layer.bias.abs()
    share = g * pairs.take((y / (y + gamma / 2 * boost)).masked_fill_(y == 0, 0.0))
    return (1 + gamma / 2) * layer.vjp(share) + pairs.take(x.sign()) * (
        (gamma / 2 * share * pairs.take(sign)) @ magnitude
    )


def _from_logit(readout: Readout, last: BlockRecord, gamma: float, pairs: Pairs) -> Tensor:
    features = readout.features(last.out)
    logits = readout.head(features)
    g = past_linear(readout.head, features, logits, F.one_hot(pairs.label, logits.shape[1]).to(logits), gamma, pairs)
    g = _past_norm(readout.norm_after, readout.pooled(last.out), g, pairs)
    count = last.out.shape[1]
    g = g.unsqueeze(1).expand(-1, count, -1) / count if readout.mean else g.unflatten(1, (count, -1))
    return _past_norm(readout.norm_before, last.out, g, pairs)


def _past_mlp(record: BlockRecord, g: Tensor, gamma: float, pairs: Pairs) -> Tensor:
    """From the block's output [P, r, D] to its middle."""
    block = record.block
    branch = g if block.scale2 is None else g * block.scale2
    branch = past_linear(block.fc2, record.activated, record.transformed, branch, gamma, pairs)
    branch = branch * pairs.take((record.activated / record.hidden).masked_fill_(record.hidden == 0, 0.0))
    branch = past_linear(block.fc1, record.middle_normed, record.hidden, branch, gamma, pairs)
    return g + _past_norm(block.norm2, record.middle, branch, pairs)


def _past_attention(record: BlockRecord, g: Tensor, gamma: float, pairs: Pairs) -> Tensor:
    """From the block's middle [P, r, D] to its input [P, T, D]."""
    block, take = record.block, pairs.take
    branch = g if block.scale1 is None else g * block.scale1
    branch = past_linear(block.proj, record.mixed, record.attended, branch, gamma, pairs)
    branch = split_heads(branch, block.heads) / 2
    attention = take(record.attention)
    of_v = attention.transpose(-1, -2) @ branch
    scores = branch @ take(record.v).transpose(-1, -2)
    scores = attention * (scores - (scores * attention).sum(-1, keepdim=True)) * (block.scale / 2)
    raw_q, raw_k, _ = (split_heads(part, block.heads) for part in record.projected.chunk(3, -1))
    of_q = _past_norm(block.q_norm, raw_q[:, :, record.rows], scores @ take(record.k), pairs)
    of_k = _past_norm(block.k_norm, raw_k, scores.transpose(-1, -2) @ take(record.q), pairs)
    projected = of_v.new_zeros(len(of_v), 3, *of_v.shape[1:])
    projected[:, 0, :, record.rows], projected[:, 1], projected[:, 2] = of_q, of_k, of_v
    branch = past_linear(block.qkv, record.normed, record.projected, join_heads(projected.flatten(1, 2)), gamma, pairs)
    result = _past_norm(block.norm1, record.x, branch, pairs)
    result[:, record.rows] += g
    return result


def _past_norm(norm: Norm | None, x: Tensor, g: Tensor, pairs: Pairs) -> Tensor:
    return g if norm is None else norm.linear_vjp(pairs.take(x), g)
