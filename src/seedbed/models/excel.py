"""ExCEL's network (Yang et al., CVPR 2025): a frozen CLIP read along two paths, and WeCLIP's decoder on all its blocks.

It is trained from image-level labels by the loss ``excel``. Published is a CLIP ViT-B/16 that is shown pictures in
ImageNet's normalisation, not CLIP's.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seedbed.models.clip import CLIP_MEAN, CLIP_STD, VIT_B_16
from seedbed.models.clip_classifier import TINY_TOWER
from seedbed.models.registry import register
from seedbed.models.texts import unit
from seedbed.models.two_paths import TwoPaths, two_paths
from seedbed.models.weclip import WeClip

SHARPNESS = 3.0


class ExcelOutput(NamedTuple):
    """What `Excel` gives for images [B, 3, H, W]; h x w = N patches, T = 1 + N tokens, L blocks.

    Attributes:
        logits: [B, C], CLIP's own, of the classes without background.
        scores: [B, C + 1, h, w], the decoder's, background first.
        features: [B, d, h, w], what the decoder reads and affinities are made of.
        embeddings: [B, T, E], of the tokens, without gradients; see `TwoPaths`.
        attention: L times [B, T, T], without gradients; see `TwoPaths`.
    """

    logits: Tensor
    scores: Tensor
    features: Tensor
    embeddings: Tensor
    attention: list[Tensor]


class Excel(WeClip):
    """CLIP's tower, which is not trained, with two paths, and a decoder on the outputs of all its blocks.

    Args:
        num_classes: classes of the data set, C.
        two_path_blocks: last blocks with a second path.
        heads: see `seedbed.models.two_paths.HeadUse`; as published: ``sum``.
        aliased: whether the decoder is given outputs that later blocks have changed, see `two_paths`; as published:
            true.
        cosine_mean: see `likeness`; as published: ``batch``.
        **weclip: see `WeClip`.
    """

    blocks_left_out = 0

    def __init__(
        self,
        num_classes: int,
        *,
        two_path_blocks: int = 5,
        heads: Literal["own", "sum"] = "own",
        aliased: bool = False,
        cosine_mean: Literal["batch", "image"] = "image",
        **weclip: Any,
    ) -> None:
        super().__init__(num_classes, **weclip)
        self.cosine_mean = cosine_mean
        self.paths: dict[str, Any] = {"blocks": two_path_blocks, "heads": heads, "aliased": aliased}

    @torch.no_grad()
    def read(self, images: Tensor, likeness: Tensor | None = None) -> TwoPaths:
        """Run the frozen tower along both paths; see `two_paths`."""
        return two_paths(self.tower, images, likeness=likeness, **self.paths)

    def forward(self, images: Tensor) -> ExcelOutput:  # type: ignore[override]  # with what labels are made of
        """Classify and decode; `logits` and `pixel_scores` give the decoder's scores alone."""
        paths = self.read(images)
        scores, features = self.decode([output[:, 1:].mT.unflatten(2, paths.grid) for output in paths.outputs])
        logits = self.scores(paths.embeddings[:, 0], self.classes)
        return ExcelOutput(logits, scores, features, paths.embeddings, paths.attention)

    def logits(self, images: Tensor) -> Tensor:
        """Scores of the patches [B, C + 1, h, w]."""
        return self(images).scores

    def likeness(self, features: Tensor) -> Tensor:
        """How much more alike than the mean patches are to the decoder: 3 (cos - mean cos), [B, N, N].

        Its sigmoid is an affinity. The mean is over an ``image``, or over the whole ``batch`` as published, so that an
        image's affinities depend on the others.

        Args:
            features: [B, d, h, w].
        """
        directions = unit(features.flatten(2).mT)
        cosines = directions @ directions.mT
        mean = cosines.mean() if self.cosine_mean == "batch" else cosines.mean((1, 2), keepdim=True)
        return SHARPNESS * (cosines - mean)


register("excel_vit_base_16", Excel, "ExCEL on CLIP's ViT-B/16", predicts_masks=True, **VIT_B_16)
register(
    "excel_vit_tiny_8",
    Excel,
    "ExCEL, small enough for the built-in data, 96 px",
    predicts_masks=True,
    mean=CLIP_MEAN,
    std=CLIP_STD,
    two_path_blocks=2,
    width=64,
    decoder_blocks=1,
    decoder_heads=4,
    **TINY_TOWER,
)
