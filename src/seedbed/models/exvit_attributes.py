"""The Attribute-guided Explainer (AttE), equations 7-9 of eX-ViT: S spatial maps that cut features into attributes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name

SHORTEST_EMBEDDING = 1e-6  # embeddings below this length shrink instead of being stretched to 1

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda groups: groups.mean(dim=-1),
    "max": lambda groups: groups.amax(dim=-1),
    "norm": lambda groups: groups.norm(dim=-1),
}


class AttributeExplainer(nn.Module):
    """Weights of S attributes at every place of a feature map.

    Args:
        dim: channels of the features.
        hidden: c of equation 7, the width of the hidden layer and of the embedding.
        attributes: S, divides ``hidden``.
        pooling: how the c/S channels of an attribute become the one weight that multiplies all channels of the
            features. Equation 9 multiplies c/S channels with d and leaves this open: ``mean``, ``max`` or ``norm``.

    Raises:
        ParameterError: S does not divide c, or the pooling is unknown.
    """

    def __init__(self, dim: int, hidden: int, attributes: int, pooling: str = "mean") -> None:
        super().__init__()
        if attributes < 1 or hidden % attributes:
            raise ParameterError(f"{attributes} attributes do not divide a hidden width of {hidden} channels.")
        if pooling not in POOLINGS:
            raise ParameterError(unknown_name("pooling of attribute channels", pooling, POOLINGS))
        self.count, self.pooling = attributes, pooling
        first, second = nn.Linear(dim, hidden), nn.Linear(hidden, hidden)
        self.mlp = nn.Sequential(first, nn.LayerNorm(hidden), nn.ReLU(), second)
        for layer in (first, second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # section 4.1.2: He et al.
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, N, d] to attribute weights [B, N, S], float32 at least, in [-1, 1]."""
        embedding = self.mlp(features)
        with torch.autocast(features.device.type, enabled=False):
            wide = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
            unit = F.normalize(wide, dim=-1, eps=SHORTEST_EMBEDDING)
            return POOLINGS[self.pooling](unit.unflatten(-1, (self.count, -1)))


def attribute_features(weights: Tensor, features: Tensor) -> Tensor:
    """Equation 9, G_s = W_s ⊙ F: weights [B, S, h, w] and features [B, d, h, w] give G [B, S, d, h, w]."""
    return weights.unsqueeze(2) * features.unsqueeze(1)
