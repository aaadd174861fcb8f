"""Conformer (Peng et al., ICCV 2021) with TransCAM's heads (Li et al. 2023): a CNN and a transformer that exchange
features after every block. It is the network of AReAM's ``Conformer-S`` and ``TransCAM`` rows.

Parameter names are those of the published checkpoints. There is no position embedding, so any size divisible by the
patch can be fed, square or not.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ImageSizeError, ParameterError
from seedbed.models.registry import register
from seedbed.models.transformer import (
    AttentionRecord,
    Block,
    drop_path_rates,
    init_transformer_weights,
    start_by_similarity,
)

NORM_EPS = 1e-6  # of every norm but the stem's and the last LayerNorm


class ConformerOutput(NamedTuple):
    """What one forward pass gives; `h` x `w` cells of a patch each, `T = 1 + h * w` tokens (class token first).

    Attributes:
        conv_logits: [B, C], the spatial mean of `conv_maps`.
        trans_logits: [B, C], the linear head on the class token.
        conv_maps: [B, C, h, w], the convolutional head, signed.
        attention: per layer [B, T, T] or [B, heads, T, T] after the softmax; ``None`` unless asked for.
        scores: the same before the softmax, scaled by 1/√d.
    """

    conv_logits: Tensor
    trans_logits: Tensor
    conv_maps: Tensor
    attention: list[Tensor] | None
    scores: list[Tensor] | None

    @property
    def logits(self) -> Tensor:
        """[B, C], the sum of both heads, which TransCAM trains and which decides."""
        return self.conv_logits + self.trans_logits

    @property
    def heads(self) -> dict[str, Tensor]:
        """The logits of both heads by name."""
        return {"conv": self.conv_logits, "trans": self.trans_logits}


class ConvBlock(nn.Module):
    """Residual bottleneck 1x1, 3x3, 1x1 at a quarter of the output width; the 3x3 takes the stride."""

    def __init__(self, width_in: int, width_out: int, stride: int = 1, projected: bool = False) -> None:
        super().__init__()
        mid = width_out // 4
        self.conv1 = nn.Conv2d(width_in, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(mid, eps=NORM_EPS)
        self.conv3 = nn.Conv2d(mid, width_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width_out, eps=NORM_EPS)
        self.projected = projected
        if projected:
            self.residual_conv = nn.Conv2d(width_in, width_out, 1, stride, bias=False)
            self.residual_bn = nn.BatchNorm2d(width_out, eps=NORM_EPS)

    def forward(self, x: Tensor, addend: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the block's output and the map after its 3x3 convolution; `addend` joins that convolution's input."""
        shortcut = self.residual_bn(self.residual_conv(x)) if self.projected else x
        mid = self.bn1(self.conv1(x)).relu()
        mid = self.bn2(self.conv2(mid if addend is None else mid + addend)).relu()
        return (self.bn3(self.conv3(mid)) + shortcut).relu(), mid


class Squeeze(nn.Module):
    """Feature map to patch tokens: 1x1 conv, mean pooling to the token grid, LayerNorm, GELU."""

    def __init__(self, width: int, dim: int, factor: int) -> None:
        super().__init__()
        self.conv_project = nn.Conv2d(width, dim, 1)
        self.ln = nn.LayerNorm(dim, eps=NORM_EPS)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.conv_project(x), self.factor)
        return F.gelu(self.ln(x.flatten(2).transpose(1, 2)))


class Expand(nn.Module):
    """Patch tokens to a feature map: 1x1 conv, norm, ReLU, nearest upsampling."""

    def __init__(self, dim: int, width: int, factor: int) -> None:
        super().__init__()
        self.conv_project = nn.Conv2d(dim, width, 1)
        self.bn = nn.BatchNorm2d(width, eps=NORM_EPS)
        self.factor = factor

    def forward(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        x = patches.transpose(1, 2).unflatten(2, grid)
        return F.interpolate(self.bn(self.conv_project(x)).relu(), scale_factor=self.factor, mode="nearest")


class FusionBlock(nn.Module):
    """One step of both branches: conv block, its features into the tokens, transformer block, tokens into the map."""

    def __init__(
        self, width_in: int, width: int, dim: int, heads: int, mlp_ratio: float, factor: int,
        stride: int, projected: bool, last: bool, drop_path: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cnn_block = ConvBlock(width_in, width, stride, projected)
        self.fusion_block = ConvBlock(width, width, projected=last)
        self.squeeze_block = Squeeze(width // 4, dim, factor)
        self.expand_block = Expand(dim, width // 4, factor)
        self.trans_block = Block(dim, heads, mlp_ratio, drop_path)

    def forward(
        self, x: Tensor, tokens: Tensor, grid: tuple[int, int], record: AttentionRecord | None = None
    ) -> tuple[Tensor, Tensor]:
        x, mid = self.cnn_block(x)
        # As published: the squeezed tokens carry a copy of the old class token, so the sum below doubles it.
        squeezed = torch.cat([tokens[:, :1], self.squeeze_block(mid)], dim=1)
        tokens = self.trans_block(squeezed + tokens, record)
        x, _ = self.fusion_block(x, self.expand_block(tokens[:, 1:], grid))
        return x, tokens


class Conformer(nn.Module):
    """Conformer with a 3x3 convolutional head for class maps and a linear head on the class token.

    Args:
        num_classes: outputs of both heads. TransCAM's checkpoints have 21, the first being a background that never
            enters the loss.
        width: channels of the first convolutional stage; the second has twice, the third four times as many.
        embed_dim, depth, num_heads, mlp_ratio: the transformer; `depth` is a multiple of 3, a third for each stage.
        patch_size: stride of tokens and maps, a multiple of 16 (of 8 without `stem_pool`).
        stem_width: channels of the 7x7 stem.
        stem_pool: keep the stem's max pooling; without it every stride is halved.
        drop_path_rate: stochastic depth of the last transformer block, rising linearly from 0.
        similarity: see `start_by_similarity`; 0 starts queries and keys apart, as published.

    Raises:
        ParameterError: `depth` or `patch_size` does not divide as said.
    """

    new_layers = ("conv_cls_head", "trans_cls_head")
    background_in_front = True  # of the published heads' outputs

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 256,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        patch_size: int = 16,
        stem_width: int = 64,
        stem_pool: bool = True,
        drop_path_rate: float = 0.1,
        similarity: float = 0.0,
    ) -> None:
        super().__init__()
        stem_stride = 4 if stem_pool else 2
        factor = patch_size // stem_stride
        if depth % 3 or patch_size % (4 * stem_stride) or width % 4:
            raise ParameterError(
                f"Conformer needs a depth divisible by 3 (got {depth}), a patch size divisible by {4 * stem_stride} "
                f"(got {patch_size}) and a width divisible by 4 (got {width})."
            )
        self.num_classes, self.patch_size = num_classes, patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.conv1 = nn.Conv2d(3, stem_width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem_width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if stem_pool else nn.Identity()
        self.conv_1 = ConvBlock(stem_width, width, projected=True)
        self.trans_patch_conv = nn.Conv2d(stem_width, embed_dim, factor, factor)
        rates = drop_path_rates(drop_path_rate, depth)
        self.trans_1 = Block(embed_dim, num_heads, mlp_ratio, rates[0])
        self._fusions: list[str] = []
        width_in = width
        for i in range(2, depth + 1):
            stage = (i - 1) // (depth // 3)  # 0, 1, 2
            first_of_later_stage = stage > 0 and (i - 1) % (depth // 3) == 0
            block = FusionBlock(
                width_in, width * 2**stage, embed_dim, num_heads, mlp_ratio, factor // 2**stage,
                stride=2 if first_of_later_stage else 1, projected=first_of_later_stage, last=i == depth,
                drop_path=rates[i - 1],
            )  # fmt: skip
            width_in = width * 2**stage
            self.add_module(f"conv_trans_{i}", block)
            self._fusions.append(f"conv_trans_{i}")
        self.trans_norm = nn.LayerNorm(embed_dim)
        self.trans_cls_head = nn.Linear(embed_dim, num_classes)
        self.apply(init_transformer_weights)
        start_by_similarity(self, similarity)
        self.apply(_init_conv)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        # After the initialisation above: fan-out scaling of a head this narrow would start with huge logits.
        self.conv_cls_head = nn.Conv2d(width_in, num_classes, 3, padding=1)

    def forward(self, images: Tensor, attention: str | None = None, scores: str | None = None) -> ConformerOutput:
        """Classify normalised images [B, 3, H, W].

        Args:
            images: float tensor, normalised with the ImageNet mean and standard deviation; both sides divisible by
                the patch size.
            attention, scores: which attention of all layers to return, see `AttentionRecord`.

        Raises:
            ParameterError: a side is not divisible by the patch size, or a mode is unknown.
        """
        record = AttentionRecord(attention, scores)
        x, tokens = self.features(images, record)
        conv_maps = self.conv_cls_head(x)
        trans_logits = self.trans_cls_head(self.trans_norm(tokens)[:, 0])
        return ConformerOutput(conv_maps.mean(dim=(2, 3)), trans_logits, conv_maps, record.attention, record.scores)

    def features(self, images: Tensor, record: AttentionRecord | None = None) -> tuple[Tensor, Tensor]:
        """The last feature map [B, 4 * width, h, w] and the last tokens [B, 1 + h * w, dim]."""
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ImageSizeError(
                f"Conformer takes images whose sides are multiples of {self.patch_size}, not {height} x {width}; "
                "resize or pad them."
            )
        grid = (height // self.patch_size, width // self.patch_size)
        stem = self.stem(images)
        x, _ = self.conv_1(stem)
        patches = self.trans_patch_conv(stem).flatten(2).transpose(1, 2)
        tokens = self.trans_1(torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1), record)
        for name in self._fusions:
            x, tokens = self.get_submodule(name)(x, tokens, grid, record)
        return x, tokens

    def stem(self, images: Tensor) -> Tensor:
        """7x7 convolution, norm, ReLU and max pooling: [B, stem_width, H / 4, W / 4]."""
        return self.maxpool(self.bn1(self.conv1(images)).relu())


def _init_conv(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


register("conformer_small", Conformer, "Conformer-S with TransCAM's heads")
register(
    "conformer_tiny_demo",
    Conformer,
    "Conformer, small enough for the built-in data, stride 8",
    width=16,
    embed_dim=64,
    depth=6,
    num_heads=4,
    mlp_ratio=2.0,
    patch_size=8,
    stem_width=16,
    stem_pool=False,
    drop_path_rate=0.0,
    similarity=1.5,
)
