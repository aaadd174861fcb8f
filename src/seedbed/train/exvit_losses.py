"""The two attribute losses of eX-ViT, equations 13 and 14, from attribute weights and features.

G_s = W_s ⊙ F (equation 9) is S times as large as the features and is never formed: what the losses need of it are sums
over places of products, which are matrix products of W and F.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

POWER = 3.0  # p of the generalised mean
FLOOR = 1e-6  # of a generalised mean, as a share of the largest feature; below it the root has no useful slope
SHORTEST = 1e-12  # of vectors in a cosine


def pooled_attributes(weights: Tensor, features: Tensor, power: float = POWER) -> Tensor:
    """g(G_s) of equation 13: the generalised mean over places of what is positive in G_s, per channel.

    ((1/N) Σ_n max(W_s,n F_j,n, 0)^p)^(1/p). A product of two numbers is positive where both are positive or both
    negative, so the sum is one of two matrix products. Both factors are divided by the image's largest before the
    power and multiplied back after the root, which changes nothing but keeps the powers within float32.

    Args:
        weights: [B, S, h, w] floating.
        features: [B, d, h, w] floating.
        power: p, at least 1; 1 is the mean of the positive part.

    Returns:
        [B, S, d], float32 or wider, >= 0.
    """
    with torch.autocast(weights.device.type, enabled=False):
        w, w_scale = _by_largest(weights)
        f, f_scale = _by_largest(features)
        positive = w.relu().pow(power) @ f.relu().pow(power).transpose(1, 2)
        negative = (-w).relu().pow(power) @ (-f).relu().pow(power).transpose(1, 2)
        mean = (positive + negative) / w.shape[-1]
        return mean.clamp(min=FLOOR**power).pow(1 / power) * (w_scale * f_scale)


def normalised_distance(one: Tensor, other: Tensor) -> Tensor:
    """BYOL's normalised mean squared error of vectors [..., n]: ||u/|u| - v/|v|||² = 2 - 2 cos(u, v), in [0, 4]."""
    return 2 - 2 * F.cosine_similarity(one, other, dim=-1, eps=SHORTEST)


def discriminability(pooled: Tensor, other: Tensor) -> Tensor:
    """Equation 13, |d - Σ_s d_s|, mean over images.

    d compares the attributes of both branches laid end to end, d_s attribute s alone.

    Args:
        pooled: g(G), [B, S, d].
        other: g(G') of the momentum branch, the same shape; let it carry no gradient.

    Returns:
        Scalar >= 0.
    """
    whole = normalised_distance(pooled.flatten(1), other.flatten(1))
    return (whole - normalised_distance(pooled, other).sum(dim=1)).abs().mean()


def diversity(weights: Tensor, features: Tensor) -> Tensor:
    """Equation 14: the mean cosine over ordered pairs of different attributes' flattened G_i, G_j, mean over images.

    ⟨G_i, G_j⟩ = Σ_n W_i,n W_j,n |F_n|²: the Gram matrix of W_s |F|, S vectors of one number a place.

    Args:
        weights: [B, S, h, w] floating, S >= 2.
        features: [B, d, h, w] floating.

    Returns:
        Scalar in [-1 / (S - 1), 1].
    """
    with torch.autocast(weights.device.type, enabled=False):
        w, _ = _by_largest(weights)
        f, _ = _by_largest(features)
        directions = F.normalize(w * f.norm(dim=1, keepdim=True), dim=2, eps=SHORTEST)
        total = directions.sum(dim=1).square().sum(dim=1)  # of all pairs, each attribute with itself included
        count = w.shape[1]
        own = directions.square().sum(dim=(1, 2))
        return ((total - own) / (count * (count - 1))).mean()


def _by_largest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [B, c, h, w] as [B, c, h * w] in float32 at least, divided by the image's largest size [B, 1, 1]."""
    wide = maps.flatten(2).to(torch.promote_types(maps.dtype, torch.float32))
    largest = wide.detach().abs().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(wide.dtype).tiny)
    return wide / largest, largest
