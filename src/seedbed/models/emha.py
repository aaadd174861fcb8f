"""Explainable Multi-Head Attention (E-MHA), equations 1-5 of eX-ViT: rows of unit length instead of a softmax.

Nothing stands between the scores and the values but a factor for each row. So the products can be taken in the other
order, keys with values first: time and memory grow with the number of tokens, not with its square, and the attention
matrix is formed only for those who ask to see it.
"""

import torch
from torch import Tensor, nn

from seedbed.models.transformer import Attention, Recorder

SHORTEST_ROW = 1e-6  # rows of scores below this length shrink instead of being stretched to 1


class ExplainableAttention(Attention):
    """E-MHA: per head A = ℓ(QKᵀ/√d + b), output AV; ℓ divides each row by its L2 norm over the keys.

    d is the width of a head and b one trained scalar a head. Parameters are those of softmax attention and
    ``alignment`` [heads], the b of equation 3. The products run in float32 at least, whatever autocast says: scores
    squared and summed leave float16's range and bfloat16's precision.

    Args:
        dim: width of the tokens.
        heads: divides ``dim``.
        alignment: where b starts.
    """

    def __init__(self, dim: int, heads: int, alignment: float = 0.0) -> None:
        super().__init__(dim, heads)
        self.alignment = nn.Parameter(torch.full((heads,), float(alignment)))

    def forward(self, x: Tensor, record: Recorder | None = None) -> Tensor:
        """Map tokens [B, T, dim] to tokens; ``record`` gets A as attention and QKᵀ/√d + b as scores."""
        batch, tokens, dim = x.shape
        qkv = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = qkv.to(torch.promote_types(qkv.dtype, torch.float32))
            q, k, v = wide.reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
            q, b = q * self.scale, self.alignment.to(q.dtype).view(-1, 1, 1)
            if record is not None and record.wanted:
                record.add(*unit_rows(q, k, b))
            out = attend(q, k, v, b)
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, dim).to(qkv.dtype))


def unit_rows(q: Tensor, k: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return equation 3's attention, whose rows have unit length, and the scores qkᵀ + b before, both [..., T, T].

    Args:
        q: queries [..., T, d], already divided by √d.
        k: keys [..., T, d].
        b: broadcasts to [..., T, T].
    """
    scores = q @ k.transpose(-2, -1) + b
    return scores / scores.norm(dim=-1, keepdim=True).clamp(min=SHORTEST_ROW), scores


def attend(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Return ``unit_rows(q, k, b) @ v`` without forming the matrix: equations 2-4 in O(T d²).

    With keys centred on their mean m, a row of scores is its mean μ = q·m + b plus deviations q·(k_j - m) that sum to
    zero. Its squared length is therefore qᵀCq + Tμ², C the keys' scatter matrix: two terms that are not negative, so
    they do not cancel. The precision is that of C: keys with one direction a thousand times larger than the rest cost
    three of float32's seven digits.

    Args:
        q, k, v: [..., T, d], queries already divided by √d, float32 or wider.
        b: [heads, 1, 1], or what broadcasts to [..., T, 1].

    Returns:
        [..., T, d]; by equation 5 no row is longer than the Frobenius norm of ``v``.
    """
    width, middle = q.shape[-1], k.mean(dim=-2, keepdim=True)
    centred = k - middle
    mean_score = q @ middle.transpose(-2, -1) + b
    # One product gives q against the scatter matrix and against the sum of centred keys times values.
    products = q @ (centred.transpose(-2, -1) @ torch.cat([centred, v], dim=-1))
    squared = (products[..., :width] * q).sum(dim=-1, keepdim=True) + k.shape[-2] * mean_score.square()
    weighted = products[..., width:] + mean_score * v.sum(dim=-2, keepdim=True)
    return weighted * squared.clamp(min=SHORTEST_ROW**2).rsqrt()
