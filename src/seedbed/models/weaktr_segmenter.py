"""WeakTr's segmentation network: a plain Vision Transformer of timm's, and Segmenter's mask transformer as decoder.

Segmenter is Strudel et al., ICCV 2021. Parameter names are those of the published checkpoints.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.registry import create_model, register
from seedbed.models.transformer import init_transformer_weights, resample_positions
from seedbed.models.weaktr import given_outputs
from seedbed.models.weights.conversion import Converted, layout
from seedbed.models.weights.plain_deit import DISTILLATION

EPSILON = 1e-5  # of every LayerNorm, as published; WeakTr's classifier has 1e-6


class MaskTransformer(nn.Module):
    """Decoder: patch tokens and one learnt embedding a class through a few blocks; masks are their cosines, normed.

    Args:
        num_classes: classes C with background.
        width_in: of the encoder's tokens.
        width: of the decoder's.
        depth, num_heads, mlp_ratio: its blocks.
        dropout: in attention, projections and MLPs.
    """

    def __init__(
        self,
        num_classes: int,
        width_in: int,
        width: int,
        depth: int = 2,
        num_heads: int | None = None,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        norm = partial(nn.LayerNorm, eps=EPSILON)
        options: dict[str, Any] = {"qkv_bias": True, "proj_drop": dropout, "attn_drop": dropout, "norm_layer": norm}
        heads = max(1, width // 64) if num_heads is None else num_heads
        self.cls_emb = nn.Parameter(torch.randn(1, num_classes, width))
        self.proj_patch = nn.Parameter(width**-0.5 * torch.randn(width, width))
        self.proj_classes = nn.Parameter(width**-0.5 * torch.randn(width, width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, **options) for _ in range(depth))
        self.proj_dec = nn.Linear(width_in, width)
        self.decoder_norm, self.mask_norm = norm(width), norm(num_classes)
        self.apply(init_transformer_weights)
        nn.init.trunc_normal_(self.cls_emb, std=0.02)

    def tokens(self, patches: Tensor) -> Tensor:
        """Encoder tokens of the patches [B, P, width_in] to the decoder's of patches and classes, [B, P + C, width]."""
        x = torch.cat([self.proj_dec(patches), self.cls_emb.expand(len(patches), -1, -1)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.decoder_norm(x)

    def cosines(self, tokens: Tensor) -> Tensor:
        """Cosine of each patch and each class, [B, P, C], of what `tokens` gives."""
        patches, classes = tokens.split([tokens.shape[1] - self.num_classes, self.num_classes], dim=1)
        patches, classes = patches @ self.proj_patch, classes @ self.proj_classes
        # Without an epsilon, as published.
        patches, classes = (x / x.norm(dim=-1, keepdim=True) for x in (patches, classes))
        return patches @ classes.mT

    def forward(self, patches: Tensor) -> Tensor:
        """Encoder tokens of the patches [B, P, width_in] to class scores [B, P, C]."""
        return self.mask_norm(self.cosines(self.tokens(patches)))


class WeakTrSegmenter(nn.Module):
    """A Vision Transformer and a `MaskTransformer` on its patch tokens; images of any size.

    Args:
        num_classes: classes with background.
        backbone: name of a Vision Transformer with one class token, here or in timm; EVA-02 with its rotary positions
            is one.
        img_size: side of the square image that the table of positions is for.
        patch_size: in pixels.
        spare_classes: as for `seedbed.models.weaktr.WeakTr`, of its classes: without background.
        unused_classes: outputs of the encoder's own head, which is in every published checkpoint and never applied;
            0: no head.
        drop_path_rate: of the encoder's last block, rising linearly from 0.
        decoder_depth, decoder_heads, decoder_mlp_ratio, dropout: of the decoder; heads None: one per 64 channels.
        **encoder: arguments of the backbone.
    """

    new_layers = ("decoder",)

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "deit_small_patch16_224",
        img_size: int = 480,
        patch_size: int = 16,
        spare_classes: Sequence[int] = (),
        unused_classes: int = 1000,
        drop_path_rate: float = 0.1,
        decoder_depth: int = 2,
        decoder_heads: int | None = None,
        decoder_mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        **encoder: Any,
    ) -> None:
        super().__init__()
        self.patch_size, self.side = patch_size, img_size // patch_size
        shape: dict[str, Any] = {"img_size": img_size, "patch_size": patch_size, "dynamic_img_size": True}
        shape["global_pool"] = "token"
        self.encoder: Any = create_model(backbone, 1000, **shape, drop_path_rate=drop_path_rate, **encoder)
        self._check_encoder(backbone)
        width = int(cast(Any, self.encoder).embed_dim)
        self.encoder.head = nn.Linear(width, unused_classes).requires_grad_(False) if unused_classes else nn.Identity()
        for module in self.encoder.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = EPSILON
        blocks = (decoder_depth, decoder_heads, decoder_mlp_ratio, dropout)
        self.given = given_outputs(num_classes, [place + 1 for place in spare_classes])
        self.decoder = MaskTransformer(num_classes + len(spare_classes), width, width, *blocks)

    def _check_encoder(self, backbone: str) -> None:
        table = getattr(self.encoder, "pos_embed", None)
        if table is None or table.shape[1] != 1 + self.side**2 or not hasattr(self.encoder.patch_embed, "proj"):
            raise ParameterError(
                f"backbone: '{backbone}' is no Vision Transformer with one class token and a table of positions; "
                "deit_small_patch16_224, vit_small_patch16_384 and eva02_small_patch14_336 are."
            )

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings [1, 1 + h * w, dim] on a grid of h x w patches, resampled bilinearly from the table's.

        The published code compares the number of patches alone, and so takes the table as it is for another grid of as
        many; its windows are square.
        """
        table = self.encoder.pos_embed
        return table if grid == (self.side, self.side) else bilinear_positions(table, grid)

    def encode(self, images: Tensor) -> Tensor:
        """Tokens [B, 1 + h * w, dim] after the last norm, class token first, of images whose sides fill patches."""
        encoder = self.encoder
        patches = encoder.patch_embed.proj(images)
        grid = (patches.shape[-2], patches.shape[-1])
        x = torch.cat([encoder.cls_token.expand(len(images), -1, -1), patches.flatten(2).mT], dim=1)
        x = x + self.positions(grid).to(x.dtype)
        rotary = getattr(encoder, "rope", None)
        options = {} if rotary is None else {"rope": rotary.get_embed(shape=list(grid))}
        for block in encoder.blocks:
            x = block(x, **options)
        return encoder.norm(x)

    def logits(self, images: Tensor) -> Tensor:
        """Class scores [B, C, ceil(H / patch), ceil(W / patch)]; images are padded by 0 to whole patches."""
        images = self._padded(images)
        grid = [side // self.patch_size for side in images.shape[-2:]]
        scores = self.decoder(self.encode(images)[:, 1:])
        scores = scores if len(self.given) == scores.shape[2] else scores[..., self.given]
        return scores.mT.unflatten(2, grid)

    def pixel_scores(self, images: Tensor) -> Tensor:
        """Class scores of every pixel, [B, C, H, W]."""
        small = self.logits(images)
        size = [side * self.patch_size for side in small.shape[-2:]]
        large = F.interpolate(small, size=size, mode="bilinear", align_corners=False)
        return large[..., : images.shape[-2], : images.shape[-1]]

    def forward(self, images: Tensor) -> Tensor:
        """The same as `pixel_scores`."""
        return self.pixel_scores(images)

    def _padded(self, images: Tensor) -> Tensor:
        down, along = (-side % self.patch_size for side in images.shape[-2:])
        return F.pad(images, (0, along, 0, down)) if down or along else images


def bilinear_positions(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """A table [1, 1 + n², dim] of one class token and a square of patches on another grid, bilinearly."""
    return torch.cat([table[:, :1], resample_positions(table[:, 1:], mode="bilinear", size=grid)], dim=1)


@layout("weaktr_encoder")
def weaktr_encoder(tensors: dict[str, Tensor], model: Any) -> Converted:
    """A Vision Transformer of timm's as the segmenter's encoder (``into: encoder``).

    Positions are resampled bilinearly, as published, patches of another size bicubically; heads are left out and
    start afresh, and EVA-02's norm behind its pooling is the norm of all tokens.
    """
    own = model.state_dict()
    left_out = [name for name in tensors if name.startswith(("head.", *DISTILLATION))]
    kept = {name.replace("fc_norm.", "norm."): t for name, t in tensors.items() if name not in left_out}
    table, kernel = own["pos_embed"], own["patch_embed.proj.weight"]
    if "pos_embed" in kept and kept["pos_embed"].shape != table.shape:
        side = math.isqrt(table.shape[1] - 1)
        kept["pos_embed"] = bilinear_positions(kept["pos_embed"].float(), (side, side))
    if "patch_embed.proj.weight" in kept and kept["patch_embed.proj.weight"].shape != kernel.shape:
        kept["patch_embed.proj.weight"] = F.interpolate(
            kept["patch_embed.proj.weight"].float(), size=kernel.shape[-2:], mode="bicubic", align_corners=False
        )
    fresh = ("head",) if any(name.startswith("head.") for name in own) else ()
    return Converted(kept, left_out, fresh)


register("weaktr_segmenter", WeakTrSegmenter, "WeakTr's segmentation network on DeiT-S, 480 px", task="segmentation")
register(
    "weaktr_segmenter_tiny",
    WeakTrSegmenter,
    "WeakTr's segmentation network, small enough for the built-in data",
    task="segmentation",
    backbone="vit_tiny_patch8_96",
    img_size=96,
    patch_size=8,
    unused_classes=0,
    drop_path_rate=0.0,
    decoder_heads=4,
    decoder_mlp_ratio=2.0,
)
