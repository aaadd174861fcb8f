"""Small eX-ViTs with random weights, and E-MHA one number at a time."""

import math

import torch

from seedbed.models import create_model
from seedbed.models.emha import ExplainableAttention
from seedbed.models.exvit import ExViT

SMALL = {
    "img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 3, "num_heads": 3, "mlp_ratio": 2.0, "fused_layers": 2,
    "hidden": 6, "num_attributes": 3,
}  # fmt: skip


def small(seed=0, classes=4, **overrides) -> ExViT:
    """A network whose every parameter is random and not small."""
    torch.manual_seed(seed)
    model = create_model("exvit_small", classes, **{**SMALL, **overrides}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def pictures(*size, count=2, seed=1):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def emha_by_hand(module: ExplainableAttention, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Equations 1-4 for one image [T, dim], one number at a time: output, attention and scores before the norm."""
    tokens, dim = x.shape
    width = dim // module.heads
    weight, bias = module.qkv.weight, module.qkv.bias
    attention, scores = (torch.zeros(module.heads, tokens, tokens, dtype=x.dtype) for _ in range(2))
    joined = torch.zeros(tokens, dim, dtype=x.dtype)
    for head in range(module.heads):
        rows = [slice(part * dim + head * width, part * dim + (head + 1) * width) for part in range(3)]
        q, k, v = (x @ weight[part].T + bias[part] for part in rows)  # equation 1
        for i in range(tokens):
            for j in range(tokens):
                product = sum(float(q[i, c]) * float(k[j, c]) for c in range(width))
                scores[head, i, j] = product / math.sqrt(width) + float(module.alignment[head])  # 2, and b of 3
            length = math.sqrt(sum(float(value) ** 2 for value in scores[head, i]))
            for j in range(tokens):
                attention[head, i, j] = scores[head, i, j] / length  # 3
                joined[i, head * width : (head + 1) * width] += attention[head, i, j] * v[j]  # 4
    return joined @ module.proj.weight.T + module.proj.bias, attention, scores


TINY = {
    "img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "fused_layers": 2,
    "hidden": 6, "num_attributes": 3,
}  # fmt: skip


def tiny(seed=0, **overrides):
    """A smaller network as it is initialised, for images of 16 pixels and three classes."""
    torch.manual_seed(seed)
    return create_model("exvit_small", 3, **{**TINY, **overrides})


def a_batch(seed=0, count=2):
    """Two views and labels."""
    generator = torch.Generator().manual_seed(seed)
    views = torch.randn(2, count, 3, 16, 16, generator=generator)
    return views[0], views[1], torch.randint(0, 2, (count, 3), generator=generator).float()
