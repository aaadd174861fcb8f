"""DeepLab v2's head on a plain Vision Transformer: a segmentation network for where no other weights are at hand."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from seedbed.models.deeplab import AtrousPyramid, Segmenter
from seedbed.models.plain_vit import block_maps, plain_vit
from seedbed.models.registry import register


class DeepLabV2ViT(Segmenter):
    """`AtrousPyramid` on the last block's tokens, at a patch's stride.

    Args:
        num_classes: classes with background.
        architecture: timm's name of the transformer.
        dilations: of the pyramid's branches, in patches.
        **options: of the transformer.

    Raises:
        ParameterError: timm has no such plain Vision Transformer.
    """

    new_layers = ("head",)

    def __init__(
        self,
        num_classes: int,
        *,
        architecture: str = "vit_tiny_patch16_224",
        dilations: Sequence[int] = (1, 2, 3, 4),
        **options: Any,
    ) -> None:
        super().__init__()
        self.backbone = plain_vit(architecture, **options)
        self.head = AtrousPyramid(self.backbone.embed_dim, num_classes, dilations)

    def logits(self, images: Tensor) -> Tensor:
        """Class scores [B, C, h, w] on the grid of patches."""
        return self.head(block_maps(self.backbone, images, (-1,))[0])


HALF = (0.5, 0.5, 0.5)
register("deeplab_v2_vit", DeepLabV2ViT, "DeepLab v2 on a plain ViT", task="segmentation", mean=HALF, std=HALF)
