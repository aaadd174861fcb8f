"""eX-ViT (Yu et al. 2022): a DeiT-shaped encoder with E-MHA, attributes on top, and class maps guided by them.

The encoder's parameters carry timm's names, so that DeiT's weights fit.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError, unknown_name
from seedbed.models.emha import ExplainableAttention
from seedbed.models.exvit_attributes import AttributeExplainer, attribute_features
from seedbed.models.mctformer import PatchEmbedding
from seedbed.models.registry import register
from seedbed.models.transformer import (
    AttentionRecord,
    Block,
    PositionTable,
    Recorder,
    drop_path_rates,
    init_transformer_weights,
    patches_a_side,
    resample_positions,
)

ATTENTIONS = ("emha", "softmax")
HEADS = ("attributes", "cam")


class Encoded(NamedTuple):
    """The encoder's patch tokens: after its last layer, and averaged over the last K layers (equation 10).

    Attributes:
        last: [B, h * w, d], F of equation 7.
        fused: [B, h * w, d], F̂ of equation 10.
        grid: (h, w) in patches.
    """

    last: Tensor
    fused: Tensor
    grid: tuple[int, int]


class ExViTOutput(NamedTuple):
    """What one forward pass gives; `C` classes, `S` attributes, `h` x `w` patches, `N = h * w`.

    Attributes:
        logits: [B, C], the spatial mean of ``class_maps``, float32 at least.
        class_maps: [B, C, h, w], signed, float32 at least.
        features: [B, d, h, w], F, the last layer's output.
        fused: [B, d, h, w], F̂ of equation 10.
        attribute_weights: [B, S, h, w], what W̄ of equation 8 becomes; ``None`` without attributes.
        attention: per layer [B, N, N] or [B, heads, N, N], rows over the keys; ``None`` unless asked for.
    """

    logits: Tensor
    class_maps: Tensor
    features: Tensor
    fused: Tensor
    attribute_weights: Tensor | None
    attention: list[Tensor] | None

    def attribute_features(self) -> Tensor:
        """G of equation 9, [B, S, d, h, w]: S times as large as the features, so it is made only here."""
        if self.attribute_weights is None:
            raise ParameterError("An eX-ViT without attributes has no attribute features.")
        return attribute_features(self.attribute_weights, self.features)


class ExViT(nn.Module):
    """eX-ViT; the defaults are section 4.1.2's and fit DeiT-S weights.

    Args:
        num_classes: classes C without background.
        img_size: side of the square image the position table is made for; images of any size can be fed.
        patch_size, embed_dim, depth, num_heads, mlp_ratio: the transformer.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        attention: ``emha``, or ``softmax`` for comparisons.
        alignment: where E-MHA's b (equation 3) starts.
        fused_layers: K of equation 10.
        feature_norm: whether every layer's output passes the encoder's final LayerNorm before it is used as F^l.
            Equation 6 has none.
        head: ``attributes`` classifies M of equation 11; ``cam`` classifies F̂ (table 5's E-MHA-CAM, table 6 without
            L_global).
        hidden: c of equation 7.
        num_attributes: S; 0 leaves the Attribute-guided Explainer out, which takes the head ``cam``.
        pooling: how an attribute's channels become one weight, see `AttributeExplainer`.

    Raises:
        ParameterError: a name is unknown, or numbers do not fit each other.
    """

    new_layers = ("head",)

    def __init__(
        self,
        num_classes: int,
        *,
        img_size: int = 224,
        patch_size: int = 16,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        attention: Literal["emha", "softmax"] = "emha",
        alignment: float = 0.0,
        fused_layers: int = 3,
        feature_norm: bool = False,
        head: Literal["attributes", "cam"] = "attributes",
        hidden: int = 256,
        num_attributes: int = 8,
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        _check_names(attention, head, num_attributes)
        self.num_classes, self.patch_size, self.head_kind = num_classes, patch_size, head
        self.side = patches_a_side(img_size, patch_size)  # of the position table
        self.patch_embed = PatchEmbedding(patch_size, embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.side**2, embed_dim))
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, r) for r in drop_path_rates(drop_path_rate, depth)
        )
        if attention == "emha":
            for block in self.blocks:
                block.attn = ExplainableAttention(embed_dim, num_heads, alignment)
        self.fused_layers = self.checked_layers(fused_layers)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6) if feature_norm else None
        self.apply(init_transformer_weights)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.attributes = AttributeExplainer(embed_dim, hidden, num_attributes, pooling) if num_attributes else None
        channels = embed_dim * num_attributes if head == "attributes" else embed_dim
        self.head = nn.Conv2d(channels, num_classes, kernel_size=1, bias=False)
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="linear")

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not decayed although they are no vectors."""
        return {"pos_embed"}

    def forward(
        self, images: Tensor, *, full: bool = False, attention: str | None = None, fused_layers: int | None = None
    ) -> Tensor | ExViTOutput:
        """Classify normalised images [B, 3, H, W] of any size of at least one patch.

        Args:
            images: float tensor.
            full: return everything (`ExViTOutput`) instead of the logits [B, C] alone.
            attention: which attention the full output holds: ``None``, ``"mean"`` over heads, or ``"heads"``.
            fused_layers: K of equation 10, if another than the network's own.

        Raises:
            ParameterError: an image is smaller than a patch, a mode is unknown, or there are not K layers.
        """
        record = AttentionRecord(attention)
        encoded = self.encode(images, record, fused_layers)
        wanted = full or self.head_kind == "attributes"
        weights = self.attributes(encoded.last) if wanted and self.attributes is not None else None
        class_maps = self.class_maps(encoded, weights)
        logits = class_maps.mean(dim=1)
        if not full:
            return logits
        shown, last, fused = (_as_maps(x, encoded.grid) for x in (class_maps, encoded.last, encoded.fused))
        attributes = None if weights is None else _as_maps(weights, encoded.grid)
        return ExViTOutput(logits, shown, last, fused, attributes, record.attention)

    def encode(self, images: Tensor, record: Recorder | None = None, fused_layers: int | None = None) -> Encoded:
        """Run the encoder (equation 6 in every layer); arguments as `forward` takes them."""
        count = self.fused_layers if fused_layers is None else self.checked_layers(fused_layers)
        outputs, grid = self.layer_outputs(images, count, record)
        total: Any = sum(outputs)
        return Encoded(outputs[-1], total / len(outputs), grid)

    def layer_outputs(
        self, images: Tensor, count: int, record: Recorder | None = None
    ) -> tuple[list[Tensor], tuple[int, int]]:
        """F^l [B, h * w, d] of the last ``count`` layers, and the grid (h, w)."""
        patches = self.patch_embed(self._checked(images))
        grid = tuple(patches.shape[-2:])
        x = patches.flatten(2).transpose(1, 2)
        x = x + self.positions(grid)
        outputs = []
        for number, block in enumerate(self.blocks):
            x = block(x, record)
            if number >= len(self.blocks) - count:
                outputs.append(x if self.norm is None else self.norm(x))
        return outputs, grid

    def class_maps(self, encoded: Encoded, weights: Tensor | None) -> Tensor:
        """Class maps [B, N, C] of tokens, float32 at least; ``weights`` [B, N, S] are not used by the head ``cam``."""
        if self.head_kind == "attributes":
            if weights is None:
                raise ParameterError("The head 'attributes' needs the attributes' weights.")
            return self.contributions(encoded, weights).sum(dim=-1)
        with torch.autocast(encoded.fused.device.type, enabled=False):
            fused = _wide(encoded.fused)
            return F.linear(fused, self.head.weight.flatten(1).to(fused.dtype))

    def contributions(self, encoded: Encoded, weights: Tensor) -> Tensor:
        """What each attribute adds to each class map: [B, N, C, S], float32 at least.

        It is the 1x1 convolution of the class maps on the S * d channels of M = F̂ ⊙ G (equations 9 and 11). Since
        G_s = W_s ⊙ F, the convolution is applied to F̂ ⊙ F and weighted afterwards, and M is never formed.
        """
        with torch.autocast(encoded.fused.device.type, enabled=False):
            product = _wide(encoded.fused) * _wide(encoded.last)  # leaves float16's range
            weight = self.head.weight.to(product.dtype).view(-1, product.shape[-1])  # [C * S, d]
            return F.linear(product, weight).unflatten(-1, (self.num_classes, -1)) * weights.unsqueeze(2)

    @property
    def position_tables(self) -> tuple[PositionTable, ...]:
        """Its table of positions."""
        return (PositionTable("pos_embed", (), (self.side, self.side)),)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings [1, h * w, d], resampled bicubically to another grid than the table's."""
        if grid == (self.side, self.side):
            return self.pos_embed
        return resample_positions(self.pos_embed, size=grid)

    def checked_layers(self, count: int) -> int:
        """Return K; ``ParameterError`` if the encoder has not so many layers."""
        if not 1 <= count <= len(self.blocks):
            raise ParameterError(f"fused_layers={count}: the encoder has {len(self.blocks)} layers, choose 1 to that.")
        return count

    def _checked(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < self.patch_size:
            raise ParameterError(f"An image of {height} x {width} is smaller than a patch of {self.patch_size}.")
        return images


def _check_names(attention: str, head: str, num_attributes: int) -> None:
    if attention not in ATTENTIONS:
        raise ParameterError(unknown_name("attention of eX-ViT", attention, ATTENTIONS))
    if head not in HEADS:
        raise ParameterError(unknown_name("head of eX-ViT", head, HEADS))
    if head == "attributes" and not num_attributes:
        raise ParameterError("num_attributes=0 leaves no attributes to classify; set head='cam'.")


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _as_maps(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, grid)


register("exvit_small", ExViT, "eX-ViT on DeiT-S, 224 px")
register(
    "exvit_tiny",
    ExViT,
    "eX-ViT, small enough for the built-in data, 96 px",
    img_size=96,
    patch_size=8,
    embed_dim=96,
    depth=4,
    num_heads=4,
    mlp_ratio=3.0,
    fused_layers=2,
    hidden=32,
    num_attributes=4,
)
