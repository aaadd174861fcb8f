"""A classifier whose classes are texts: CLIP's image tower, and how alike its embedding is to each of them."""

from typing import Any

from torch import Tensor

from seedbed.models.clip import CLIP_MEAN, CLIP_STD, VIT_B_16, ClipTower
from seedbed.models.registry import register
from seedbed.models.texts import WithTexts, unit

LOGIT_SCALE = 100.0  # of OpenAI's networks, to six digits

TINY_TOWER: dict[str, Any] = {
    "background_texts": 8,
    "logit_scale": 20.0,
    "dim": 64,
    "img_size": 96,
    "patch_size": 8,
    "embed_dim": 96,
    "depth": 4,
    "num_heads": 4,
    "mlp_ratio": 3.0,
    "pre_norm": False,
}
"""Of networks for the built-in data: no norm before the blocks and plain GELU, so that shipped weights fit."""


class ClipClassifier(WithTexts):
    """CLIP for classes that are described in words (Radford et al. 2021, section 3.1.2); made for CLIP-ES's maps.

    Args:
        num_classes: classes of the data set.
        background_texts: how many texts stand for what is no class; they compete in the maps, not in the logits.
        logit_scale: factor of cosines before a softmax.
        **tower: see `ClipTower`.
    """

    def __init__(
        self, num_classes: int, *, background_texts: int = 25, logit_scale: float = LOGIT_SCALE, **tower: Any
    ) -> None:
        super().__init__(num_classes, background_texts, tower["dim"])
        self.logit_scale = logit_scale
        self.tower = ClipTower(**tower)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, 3, H, W]: cosines of the class token's embedding, scaled."""
        return self.scores(self.tower(images), self.classes)

    def embeddings(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, dim] of images, of any length: the class token's, and the mean over the patches."""
        tokens, _ = self.tower.embed(images)
        projected = self.tower.project(self.tower.blocks(tokens))
        return projected[:, 0], projected[:, 1:].mean(1)

    def scores(self, embeddings: Tensor, texts: Tensor) -> Tensor:
        """Scaled cosines [..., t] of embeddings [..., dim], of any length, and texts [t, dim] of unit length."""
        return self.logit_scale * unit(embeddings) @ texts.T


register(
    "clip_vit_base_16",
    ClipClassifier,
    "CLIP's ViT-B/16, whose classes are texts",
    mean=CLIP_MEAN,
    std=CLIP_STD,
    **VIT_B_16,
)
register(
    "clip_vit_tiny_8",
    ClipClassifier,
    "CLIP's tower, small enough for the built-in data, 96 px",
    mean=CLIP_MEAN,
    std=CLIP_STD,
    **TINY_TOWER,
)
