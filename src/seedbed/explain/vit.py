"""A timm Vision Transformer read as plain weights.

The explainers run on this view, not on hooks: nothing is registered on the model, none of its flags changes, and timm's
fused attention stays as the user set it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from torch import Tensor, nn
from torch.func import functional_call

from seedbed.errors import ParameterError
from seedbed.explain.evaluated import evaluated
from seedbed.explain.layers import Linear, Norm, cast
from seedbed.explain.support import unreadable
from seedbed.models.input_size import misplaced


@dataclass(frozen=True)
class Block:
    """One pre-norm Transformer block; ``scale1`` and ``scale2`` are LayerScale factors [D] or None."""

    heads: int
    scale: float
    norm1: Norm
    qkv: Linear
    q_norm: Norm | None
    k_norm: Norm | None
    proj: Linear
    scale1: Tensor | None
    norm2: Norm
    fc1: Linear
    activation: nn.Module
    fc2: Linear
    scale2: Tensor | None


@dataclass(frozen=True)
class Readout:
    """How the logits are read from the final tokens: ``head(norm_after(pool(norm_before(tokens))))``.

    ``rows`` are the tokens that are read. With ``mean`` they are averaged; otherwise they are concatenated, and
    ``head`` [C, rows * D] reads them side by side: the class token alone, or the class and distillation tokens, whose
    two heads timm averages.
    """

    rows: slice
    mean: bool
    norm_before: Norm | None
    norm_after: Norm | None
    head: Linear

    def pooled(self, tokens: Tensor) -> Tensor:
        """Return what enters ``norm_after`` [B, D'] given the rows [B, r, D] of the last block's output."""
        normed = tokens if self.norm_before is None else self.norm_before(tokens)
        return normed.mean(1) if self.mean else normed.flatten(1)

    def features(self, tokens: Tensor) -> Tensor:
        """Return what enters the linear head [B, D']."""
        pooled = self.pooled(tokens)
        return pooled if self.norm_after is None else self.norm_after(pooled)

    def logits(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, C] given the rows [B, r, D] of the last block's output."""
        return self.head(self.features(tokens))

    def vjp(self, tokens: Tensor, gradient: Tensor) -> Tensor:
        """Take a gradient [P, D'] at the head's input to the rows [P, r, D]; ``tokens`` is [P or 1, r, D]."""
        count = tokens.shape[1]
        if self.norm_after is not None:
            gradient = self.norm_after.vjp(self.pooled(tokens), gradient)
        if self.mean:
            gradient = (gradient / count).unsqueeze(1).expand(-1, count, -1)
        else:
            gradient = gradient.unflatten(1, (count, -1))
        return gradient if self.norm_before is None else self.norm_before.vjp(tokens, gradient)

    def row_weights(self, length: int, like: Tensor) -> Tensor:
        """Return the share [length] each token has in what is read: 1 for a class token, 1/N for N averaged tokens."""
        weights = like.new_zeros(length)
        weights[self.rows] = 1.0
        return weights / weights.sum()


class _Step(nn.Module):
    """A step of a model as a module of its own, so that it can be called with other parameters."""

    def __init__(self, model: nn.Module, step: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.model, self.step = model, step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self.model, x)


def patch_grid(model: Any, images: Tensor) -> tuple[int, int]:
    """The grid (h, w) of an input's patches; without ``strict_img_size`` it need not be the model's own.

    Raises:
        ParameterError: the model takes the images, but its positions are for another grid.
    """
    embed = model.patch_embed
    if wrong := misplaced(model, (images.shape[-2], images.shape[-1])):
        raise ParameterError(f"The model does not take images of shape {tuple(images.shape)}: {wrong}.")
    if type(embed) is PatchEmbed or model.dynamic_img_size or not embed.strict_img_size:
        height, width = embed.dynamic_feat_size((images.shape[-2], images.shape[-1]))
    else:
        height, width = embed.grid_size
    return height, width


class ViT:
    """A supported timm Vision Transformer, read in at least float32; each block when it is asked for."""

    def __init__(self, model: Any):
        reason = unreadable(model)
        if reason:
            raise ParameterError(f"{type(model).__name__} cannot be read: {reason}.")
        self.model = evaluated(model, hooks=True)
        self.prefix: int = model.num_prefix_tokens
        self.model_dtype = next(model.blocks.parameters()).dtype
        # Half-precision gradients underflow and relevances cancel, so everything is at least float32.
        self.dtype = torch.promote_types(self.model_dtype, torch.float32)

    def __len__(self) -> int:
        return len(self.model.blocks)

    def block(self, index: int) -> Block:
        source = self.model.blocks[index]
        attention, mlp = source.attn, source.mlp
        return Block(
            heads=attention.num_heads,
            scale=attention.scale,
            norm1=self._norm(source.norm1),
            qkv=Linear.of(attention.qkv, self.dtype),
            q_norm=read_norm(attention.q_norm, self.dtype),
            k_norm=read_norm(attention.k_norm, self.dtype),
            proj=Linear.of(attention.proj, self.dtype),
            scale1=self._layer_scale(source.ls1),
            norm2=self._norm(source.norm2),
            fc1=Linear.of(mlp.fc1, self.dtype),
            activation=mlp.act,
            fc2=Linear.of(mlp.fc2, self.dtype),
            scale2=self._layer_scale(source.ls2),
        )

    def readout(self) -> Readout:
        return read_readout(self.model, self.dtype)

    def patches(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the output of the patch embedding, as the model lays it out, and its grid (h, w)."""
        channels = getattr(self.model, "in_chans", images.shape[1])
        if images.shape[1] != channels:
            raise ParameterError(f"The images have {images.shape[1]} channels and the model takes {channels}.")
        try:
            patches = self._stem(lambda model, x: model.patch_embed(x), images)
        except AssertionError as error:  # timm's checks of the image size
            raise ParameterError(f"The model does not take images of shape {tuple(images.shape)}: {error}") from error
        laid_out = patches.ndim == 4
        return patches, (patches.shape[1], patches.shape[2]) if laid_out else patch_grid(self.model, images)

    def contents(self, patches: Tensor) -> Tensor:
        """Return prefix tokens and patches [B, T, D] as they are before positions are added."""
        names = ("cls_token", "dist_token" if isinstance(self.model, VisionTransformerDistilled) else "reg_token")
        prefix = [getattr(self.model, name) for name in names if getattr(self.model, name) is not None]
        flat = patches.flatten(1, -2)
        return torch.cat([*(token.detach().expand(len(flat), -1, -1) for token in prefix), flat], 1).to(self.dtype)

    def patch_convolution(self) -> Tensor | None:
        """Return the weights [D, channels, p, p] of a patch embedding that is one convolution, None for any other."""
        embed = self.model.patch_embed
        return cast(embed.proj.weight, self.dtype) if type(embed) is PatchEmbed else None

    def pad(self, images: Tensor) -> Tensor:
        """Pad images with zeros as the patch embedding does (``dynamic_img_pad``)."""
        if not self.model.patch_embed.dynamic_img_pad:
            return images
        missing = [
            -size % patch for size, patch in zip(images.shape[-2:], self.model.patch_embed.patch_size, strict=True)
        ]
        return F.pad(images, (0, missing[1], 0, missing[0]))

    def tokens(self, patches: Tensor) -> Tensor:
        """Add prefix tokens and positions to the patch embedding: [B, T, D], before ``norm_pre``."""
        return self._stem(lambda model, x: model.patch_drop(model._pos_embed(x)), patches)

    def _stem(self, step: Callable[[Any, Tensor], Tensor], x: Tensor) -> Tensor:
        """Run a step of the model before its blocks, in evaluation mode and in at least float32."""
        if self.model_dtype == self.dtype:
            return step(self.model, x)
        state = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        wide = {
            f"model.{name}": cast(value, self.dtype)
            for name, value in state.items()
            if value.is_floating_point() and not name.startswith(("blocks.", "head"))
        }
        return functional_call(_Step(self.model, step), wide, (x.to(self.dtype),))  # swaps the twin's own table

    def pre_norm(self) -> Norm | None:
        return read_norm(self.model.norm_pre, self.dtype)

    def norm_pre(self, tokens: Tensor) -> Tensor:
        """Apply the norm that some models (CLIP's) have before their first block."""
        norm = self.pre_norm()
        return tokens if norm is None else norm(tokens)

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the first block's input [B, T, D] and the patch grid (h, w)."""
        patches, grid = self.patches(images)
        return self.norm_pre(self.tokens(patches)), grid

    def _norm(self, module: nn.Module) -> Norm:
        norm = read_norm(module, self.dtype)
        if norm is None:
            raise ParameterError("A block without its norms cannot be read.")
        return norm

    def _layer_scale(self, module: Any) -> Tensor | None:
        return None if isinstance(module, nn.Identity) else cast(module.gamma, self.dtype)


def read_readout(model: Any, dtype: torch.dtype) -> Readout:
    """Read how ``model`` gets its logits; ``not_a_vit`` must have found nothing."""
    head, norm_after = Linear.of(model.head, dtype), read_norm(model.fc_norm, dtype)
    if isinstance(model, VisionTransformerDistilled):
        distilled = Linear.of(model.head_dist, dtype)
        bias = None if head.bias is None or distilled.bias is None else (head.bias + distilled.bias) / 2
        head = Linear(torch.cat((head.weight, distilled.weight), 1) / 2, bias)
        rows, norm_after = slice(0, 2), None  # timm's distilled head has no norm of its own
    elif model.global_pool == "token":
        rows = slice(0, 1)
    else:
        rows = slice(0 if model.pool_include_prefix else model.num_prefix_tokens, None)
    return Readout(rows, model.global_pool == "avg", read_norm(model.norm, dtype), norm_after, head)


def read_norm(module: Any, dtype: torch.dtype) -> Norm | None:
    if isinstance(module, nn.Identity):
        return None
    eps = torch.finfo(dtype).eps if module.eps is None else module.eps
    bias = getattr(module, "bias", None)
    return Norm(cast(module.weight, dtype), cast(bias, dtype), eps, centred=isinstance(module, nn.LayerNorm))
