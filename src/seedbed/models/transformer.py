"""Transformer blocks whose attention can be read, shared by MCTformer and Conformer; parameter names are timm's."""

import math
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from seedbed.errors import ParameterError

RECORD_MODES = (None, "mean", "heads")


class Recorder(Protocol):
    """Who is given the attention of each layer, and its scores before the softmax, where it is ``wanted``."""

    @property
    def wanted(self) -> bool: ...

    def add(self, attention: Tensor, scores: Tensor) -> None: ...


class AttentionRecord:
    """What the blocks of one forward pass leave behind for whoever asked: one tensor a layer, in order of depth.

    Args:
        attention: keep the softmax attention: ``None`` no, ``"mean"`` averaged over heads [B, T, T],
            ``"heads"`` per head [B, heads, T, T].
        scores: the same for the scaled scores before the softmax, QKᵀ/√d (AReAM equation 3).

    Raises:
        ParameterError: a mode is none of the three.
    """

    def __init__(self, attention: str | None = None, scores: str | None = None) -> None:
        for argument, mode in (("attention", attention), ("scores", scores)):
            if mode not in RECORD_MODES:
                raise ParameterError(f"{argument}={mode!r}: choose one of {', '.join(map(repr, RECORD_MODES))}.")
        self._modes = (attention, scores)
        self._kept: tuple[list[Tensor], list[Tensor]] = ([], [])

    @property
    def wanted(self) -> bool:
        return any(self._modes)

    def add(self, attention: Tensor, scores: Tensor) -> None:
        for mode, kept, value in zip(self._modes, self._kept, (attention, scores), strict=True):
            if mode:
                kept.append(value.mean(dim=1) if mode == "mean" else value)

    @property
    def attention(self) -> list[Tensor] | None:
        return self._kept[0] if self._modes[0] else None

    @property
    def scores(self) -> list[Tensor] | None:
        return self._kept[1] if self._modes[1] else None


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017); the fused kernel unless the attention is to be recorded."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ParameterError(f"A width of {dim} cannot be split over {heads} heads; choose a multiple of {heads}.")
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, record: Recorder | None = None) -> Tensor:
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        if record is None or not record.wanted:
            out = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        else:
            scores = q @ k.transpose(-2, -1) * self.scale
            attention = scores.softmax(dim=-1)
            record.add(attention, scores)
            out = attention @ v
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + MLP(norm(x)); LayerNorm eps 1e-6, exact GELU."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor, record: Recorder | None = None) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), record))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def init_transformer_weights(module: nn.Module) -> None:
    """DeiT's initialisation, for ``model.apply``: linear weights trunc_normal(0.02), biases 0, LayerNorm 1 and 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """Stochastic-depth rates of `depth` blocks, rising linearly from 0 to `rate`."""
    return torch.linspace(0, rate, depth, device="cpu").tolist()


@torch.no_grad()
def start_by_similarity(module: nn.Module, gain: float) -> None:
    """Let attention in `module` start by similarity: a head's keys are its queries, orthonormal rows times `gain`.

    A small network learns from few images no attention that refines a map; one that starts by likeness keeps it.
    Both are free to part in training. 0 changes nothing.
    """
    for attention in (m for m in module.modules() if gain and isinstance(m, Attention)):
        dim, width = attention.qkv.in_features, attention.qkv.in_features // attention.heads
        for head in range(attention.heads):
            rows = gain * nn.init.orthogonal_(torch.empty(width, dim))
            for start in (head * width, dim + head * width):
                attention.qkv.weight[start : start + width] = rows


class PositionTable(NamedTuple):
    """A network's table of positions, as weights fill it.

    Attributes:
        name: of the parameter [1, T, dim].
        tokens: names of the parameters [1, k, dim] whose positions stand in front of those of the patches, in order.
        grid: (rows, columns) of the patches.
    """

    name: str
    tokens: tuple[str, ...]
    grid: tuple[int, int]


def patches_a_side(img_size: Any, patch_size: int) -> int:
    """Patches along a side of the square image that a table of positions is for.

    Raises:
        ParameterError: ``img_size`` is no whole number, or less than a patch.
    """
    if not isinstance(img_size, int) or img_size < patch_size:
        raise ParameterError(
            f"img_size={img_size!r}: give one whole number, the side of a square of at least {patch_size} pixels. "
            "Images of any size and shape can be fed; this is that of the table of positions alone."
        )
    return img_size // patch_size


def resample_positions(
    table: Tensor, source: tuple[int, int] | None = None, mode: str = "bicubic", **target: Any
) -> Tensor:
    """Position embeddings [1, N, dim] of a grid on another one: [1, h * w, dim].

    Args:
        table: of a grid, row by row.
        source: (rows, columns) of that grid; None: it is a square.
        mode: ``bicubic`` or ``bilinear``.
        **target: ``size`` (h, w), or ``scale_factor`` of both axes, which then drives the sampling grid itself.
    """
    side = math.isqrt(table.shape[1])
    grid = table.transpose(1, 2).unflatten(2, source or (side, side))
    return F.interpolate(grid, mode=mode, align_corners=False, **target).flatten(2).transpose(1, 2)


def position_waves(side: int, dim: int) -> Tensor:
    """Sine and cosine waves along both axes of a grid of side x side cells: [side ** 2, dim] in -1..1.

    Wavelengths run from 4 cells to twice the side, so that the likeness of two cells falls with their distance.

    Raises:
        ParameterError: `dim` is no multiple of 4.
    """
    if dim % 4:
        raise ParameterError(f"Waves need a width that is a multiple of 4, got {dim}.")
    wavelengths = torch.logspace(math.log10(4), math.log10(2 * side), dim // 4)
    angles = 2 * math.pi * torch.arange(side)[:, None] / wavelengths
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    down, along = axis[:, None].expand(-1, side, -1), axis[None].expand(side, -1, -1)
    return torch.cat([down, along], dim=2).flatten(0, 1)
