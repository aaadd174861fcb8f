"""ToCo (Ru et al., CVPR 2023): a Vision Transformer whose tokens classify, decode and are contrasted.

The encoder is timm's Vision Transformer. A first classifier reads its last tokens, an auxiliary one the tokens of an
earlier block, whose maps are sharper; a decoder of dilated convolutions scores pixels. The projection heads are for
training alone (`seedbed.train.toco`).
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from seedbed.errors import ImageSizeError, ParameterError
from seedbed.models.bilinear import bilinear
from seedbed.models.registry import register
from seedbed.models.transformer import resample_positions


class ToCoOutput(NamedTuple):
    """What `ToCo` gives for images [B, 3, H, W]; C classes, D channels, h x w patches.

    Attributes:
        logits, auxiliary_logits: [B, C], of the classes without background.
        maps, auxiliary_maps: [B, C, h, w], signed class activation maps, without gradient.
        scores: [B, C + 1, h, w], the decoder's, background first.
        class_token: [B, D], after the last norm.
        features: [B, D, h, w], the patch tokens after the last norm.
    """

    logits: Tensor
    auxiliary_logits: Tensor
    maps: Tensor
    auxiliary_maps: Tensor
    scores: Tensor
    class_token: Tensor
    features: Tensor


class ToCo(nn.Module):
    """ToCo; the defaults are ViT-B/16's and DeiT-B's, which differ in their weights alone.

    Args:
        num_classes: classes C without background.
        img_size: side of the square image the position table is made for; images of any size can be fed.
        patch_size, embed_dim, depth, num_heads, mlp_ratio: the transformer.
        auxiliary_block: whose tokens, before any norm, the auxiliary classifier reads, counted from the end: 3 is the
            third last.
        decoder_width, dilation: of the decoder's two hidden 3x3 convolutions.
        hidden, bottleneck, outputs: widths of the projection heads.

    Raises:
        ParameterError: there are not so many blocks, or a number does not fit.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        img_size: int = 224,
        patch_size: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        auxiliary_block: int = 3,
        decoder_width: int = 512,
        dilation: int = 5,
        hidden: int = 2048,
        bottleneck: int = 256,
        outputs: int = 1024,
    ) -> None:
        super().__init__()
        if not 1 <= auxiliary_block <= depth:
            raise ParameterError(f"auxiliary_block={auxiliary_block}: the encoder has {depth} blocks.")
        self.num_classes, self.patch_size, self.auxiliary_block = num_classes, patch_size, auxiliary_block
        shape: dict[str, Any] = {"embed_dim": embed_dim, "depth": depth, "num_heads": num_heads, "mlp_ratio": mlp_ratio}
        encoder: Any = VisionTransformer(img_size=img_size, patch_size=patch_size, num_classes=0, **shape)
        self.encoder = encoder
        self.encoder.pos_embed.requires_grad_(False)
        self.proj_head = ProjectionHead(embed_dim, hidden, bottleneck, outputs)
        self.proj_head_t = ProjectionHead(embed_dim, hidden, bottleneck, outputs).requires_grad_(False)
        self.proj_head_t.load_state_dict(self.proj_head.state_dict())
        self.decoder = LargeFieldDecoder(embed_dim, decoder_width, num_classes + 1, dilation)
        self.classifier = nn.Conv2d(embed_dim, num_classes, 1, bias=False)
        self.aux_classifier = nn.Conv2d(embed_dim, num_classes, 1, bias=False)

    def forward(self, images: Tensor, *, part: Literal["all", "maps", "class_token"] = "all") -> Any:
        """Classify and decode normalised images [B, 3, H, W].

        A side that is no multiple of the patch's loses the rest.

        Args:
            images: float tensor, normalised with the ImageNet mean and standard deviation.
            part: ``all``: a `ToCoOutput`; ``maps``: both class activation maps [B, C, h, w]; ``class_token``: [B, D].

        Raises:
            ImageSizeError: an image is smaller than a patch.
        """
        last, early, grid = self.tokens(images)
        if part == "class_token":
            return last[:, 0]
        features, auxiliary = (x[:, 1:].transpose(1, 2).unflatten(2, grid) for x in (last, early))
        maps, auxiliary_maps = self._maps(features, auxiliary)
        if part == "maps":
            return maps, auxiliary_maps
        logits, auxiliary_logits = (
            classify(x.amax((2, 3), keepdim=True)).flatten(1)
            for classify, x in ((self.classifier, features), (self.aux_classifier, auxiliary))
        )
        scores = self.decoder(features)
        return ToCoOutput(logits, auxiliary_logits, maps, auxiliary_maps, scores, last[:, 0], features)

    def tokens(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """The last tokens after the norm and the auxiliary ones before any, [B, 1 + h * w, D], and the grid (h, w)."""
        x, grid = self.embedded(images)
        early = x
        for number, block in enumerate(self.encoder.blocks, start=1):
            x = block(x)
            if number == len(self.encoder.blocks) + 1 - self.auxiliary_block:
                early = x
        return self.encoder.norm(x), early, grid

    def embedded(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Class token and patches with their positions [B, 1 + h * w, D], and the grid (h, w).

        The table is resampled bicubically to the grid, without the antialiasing that timm's own way has.
        """
        height, width = images.shape[-2:]
        if min(height, width) < self.patch_size:
            raise ImageSizeError(f"An image of {height} x {width} is smaller than a patch of {self.patch_size}.")
        patches = self.encoder.patch_embed.proj(images)
        grid = (patches.shape[-2], patches.shape[-1])
        table, token = self.encoder.pos_embed, self.encoder.cls_token
        positions = torch.cat([table[:, :1], resample_positions(table[:, 1:], size=grid)], dim=1)
        x = torch.cat([token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        return x + positions, grid

    @torch.no_grad()
    def _maps(self, features: Tensor, auxiliary: Tensor) -> tuple[Tensor, Tensor]:
        return self.classifier(features), self.aux_classifier(auxiliary)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move the averaged projection head towards the trained one, of which it keeps the share ``momentum``."""
        for average, trained in zip(self.proj_head_t.parameters(), self.proj_head.parameters(), strict=True):
            average.mul_(momentum).add_((1 - momentum) * trained)

    def logits(self, images: Tensor) -> Tensor:
        """The decoder's scores [B, C + 1, h, w], a patch each, background first."""
        return self.decoder(self.tokens_as_features(images))

    def tokens_as_features(self, images: Tensor) -> Tensor:
        """The last patch tokens [B, D, h, w]."""
        last, _, grid = self.tokens(images)
        return last[:, 1:].transpose(1, 2).unflatten(2, grid)

    def pixel_scores(self, images: Tensor) -> Tensor:
        """The decoder's scores of every pixel, [B, C + 1, H, W]."""
        return bilinear(self.logits(images), (images.shape[-2], images.shape[-1]))


class ProjectionHead(nn.Module):
    """Tokens [N, D] to ``outputs`` cosines in -1..1: three layers, unit length, then rows of unit length."""

    def __init__(self, width: int, hidden: int, bottleneck: int, outputs: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last_layer = UnitRows(bottleneck, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last_layer(F.normalize(self.mlp(tokens).float(), dim=-1))


class UnitRows(nn.Module):
    """A linear layer without bias whose rows count by their direction alone."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.weight_v = nn.Parameter(torch.empty(outputs, width))
        nn.init.kaiming_uniform_(self.weight_v, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.normalize(self.weight_v, dim=1))


class LargeFieldDecoder(nn.Module):
    """DeepLab's LargeFOV without biases and norms: two dilated 3x3 convolutions and a 1x1."""

    def __init__(self, width: int, hidden: int, outputs: int, dilation: int) -> None:
        super().__init__()
        around: dict[str, Any] = {"padding": dilation, "dilation": dilation, "bias": False}
        self.conv6 = nn.Conv2d(width, hidden, 3, **around)
        self.conv7 = nn.Conv2d(hidden, hidden, 3, **around)
        self.conv8 = nn.Conv2d(hidden, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv8(self.conv7(self.conv6(features).relu()).relu())


register("toco_base", ToCo, "ToCo on ViT-B/16 or DeiT-B", predicts_masks=True)
register(
    "toco_tiny",
    ToCo,
    "ToCo, small enough for the built-in data, 96 px",
    predicts_masks=True,
    img_size=96,
    patch_size=8,
    embed_dim=96,
    depth=4,
    num_heads=4,
    mlp_ratio=3.0,
    auxiliary_block=2,
    decoder_width=64,
    dilation=3,
    hidden=128,
    bottleneck=32,
    outputs=64,
)
