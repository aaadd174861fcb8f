"""WeCLIP+ (Zhang et al. 2025): a frozen CLIP and a frozen DINOv2, and one decoder for both.

It is trained from image-level labels by the loss ``weclip_plus``. Published are CLIP's ViT-B/16 and DINOv2's ViT-S/14,
both shown pictures in ImageNet's normalisation.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from seedbed.models.clip import CLIP_MEAN, CLIP_STD, VIT_B_16, run_block
from seedbed.models.clip_classifier import TINY_TOWER
from seedbed.models.dino import VIT_S_14, DinoTower
from seedbed.models.registry import register
from seedbed.models.weclip import Seen, WeClip

TINY_DINO: dict[str, Any] = {
    "img_size": 91,
    "patch_size": 7,
    "embed_dim": 96,
    "depth": 4,
    "num_heads": 4,
    "mlp_ratio": 3.0,
}
"""A second tower for the built-in data, whose patches are other than CLIP's; shipped weights are resampled to it."""


class SeenByBoth(NamedTuple):
    """What the frozen towers make of images.

    Attributes:
        clip: what CLIP sees; its only level is the output of the block before the last.
        dino: [B, D', h', w'], DINOv2's patches, on a grid of their own.
    """

    clip: Seen
    dino: Tensor


class Decoded(NamedTuple):
    """What the decoder makes of both towers; h, w are CLIP's patches.

    Attributes:
        clip, dino: [B, C + 1, h, w], scores of each branch, background first.
        features: [B, 2 E, h, w], what the decoder reads of both, and affinities are made of.
    """

    clip: Tensor
    dino: Tensor
    features: Tensor

    @property
    def scores(self) -> Tensor:
        """[B, C + 1, h, w], the mean of both branches."""
        return (self.clip + self.dino) / 2


class WeClipPlusOutput(NamedTuple):
    """What `WeClipPlus` gives for images [B, 3, H, W].

    Attributes:
        logits: [B, C], CLIP's own, of the classes without background.
        scores: [B, C + 1, h, w], the decoder's, background first.
    """

    logits: Tensor
    scores: Tensor


class WeClipPlus(WeClip):
    """WeCLIP with a second frozen tower, whose tokens go through the same decoder on a branch of their own.

    CLIP's branch reads one level, the output of the block before the last. Only the branches and the decoder are
    trained.

    Args:
        num_classes: classes without background.
        dino: arguments of the second tower, see `DinoTower`.
        width, dropout: of both branches, see `WeClip`.
        **weclip: see `WeClip`.
    """

    new_layers = (*WeClip.new_layers, "dino_level", "dino_fuse")  # type: ignore[assignment]  # two more

    def __init__(
        self,
        num_classes: int,
        *,
        dino: Mapping[str, Any] = VIT_S_14,
        width: int = 256,
        dropout: float = 0.1,
        **weclip: Any,
    ) -> None:
        super().__init__(num_classes, width=width, dropout=dropout, **weclip)
        self.levels, self.fuse = self.levels[-1:], nn.Conv2d(width, width, 1)
        self.dino = DinoTower(**dino).requires_grad_(False)
        self.dino_level = Mlp(self.dino.embed_dim, width, width, act_layer=nn.ReLU)
        self.dino_fuse = nn.Conv2d(width, width, 1)

    @torch.no_grad()
    def look(self, images: Tensor, skip_block: bool = False) -> SeenByBoth:  # type: ignore[override]  # of both
        """Run the frozen towers on images [B, 3, H, W].

        Args:
            images: normalised.
            skip_block: show labels (``before`` and ``attention``) a last block that is given the output of the block
                two before it.
        """
        tokens, grid = self.tower.embed(images)
        inputs, attention = [], []
        for step in self.tower.steps(tokens):
            inputs.append(tokens)
            attention.append(step.attention)
            tokens = step.tokens
        before = inputs[-2] if skip_block else inputs[-1]
        if skip_block:
            attention[-1] = run_block(self.tower.blocks[-1], before).attention
        level = inputs[-1][:, 1:].mT.unflatten(2, grid)
        logits = self.scores(self.tower.project(tokens[:, 0]), self.classes)
        clip = Seen([level], before, [each[:, :, 1:, 1:].mean(1) for each in attention], logits)
        return SeenByBoth(clip, self.dino(images))

    def decode(self, seen: SeenByBoth) -> Decoded:  # type: ignore[override]  # of both
        """Decode what both towers have seen, in one pass."""
        (level,) = seen.clip.levels
        grid = level.shape[-2:]
        of_clip = self._branch(level, self.levels[0], self.fuse)
        of_dino = self._branch(seen.dino, self.dino_level, self.dino_fuse)
        of_dino = F.interpolate(of_dino, grid, mode="bilinear", align_corners=False)
        both = torch.cat([of_clip, of_dino])
        decoded = self.decoder(both.flatten(2).mT).mT.unflatten(2, grid)
        clip, dino = self.predict(decoded).chunk(2)
        return Decoded(clip, dino, torch.cat([of_clip, of_dino], dim=1))

    def _branch(self, patches: Tensor, level: nn.Module, fuse: nn.Module) -> Tensor:
        """From a tower's patches [B, D, h, w] to what the decoder reads, [B, E, h, w]."""
        mixed = level(patches.flatten(2).mT).mT.unflatten(2, patches.shape[-2:])
        return self.dropout(fuse(mixed))

    def forward(self, images: Tensor) -> WeClipPlusOutput:  # type: ignore[override]  # of both heads
        """Classify and decode; `logits` and `pixel_scores` give the decoder's scores alone."""
        seen = self.look(images)
        return WeClipPlusOutput(seen.clip.logits, self.decode(seen).scores)

    def logits(self, images: Tensor) -> Tensor:
        """Scores of the patches [B, C + 1, h, w]."""
        return self(images).scores


register(
    "weclip_plus_vit_base_16",
    WeClipPlus,
    "WeCLIP+ on CLIP's ViT-B/16 and DINOv2's ViT-S/14",
    predicts_masks=True,
    **VIT_B_16,
)
register(
    "weclip_plus_vit_tiny_8",
    WeClipPlus,
    "WeCLIP+, small enough for the built-in data, 96 px",
    predicts_masks=True,
    mean=CLIP_MEAN,
    std=CLIP_STD,
    dino=TINY_DINO,
    width=64,
    decoder_blocks=1,
    decoder_heads=4,
    **TINY_TOWER,
)
