"""MCTformer+ (Xu et al., TPAMI 2024), the later network of MCTformer-V2's authors; names and shapes are the published.

Its contrastive loss between class tokens is not part of our training: maps and logits are recorded, that loss is not.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seedbed.models.mctformer import MCTformer, MCTformerOutput
from seedbed.models.registry import register
from seedbed.models.transformer import PositionTable, resample_positions


class MCTformerPlusOutput(MCTformerOutput):
    """`MCTformerOutput`; an image is judged by both heads."""

    __slots__ = ()

    @property
    def logits(self) -> Tensor:
        """[B, C], the mean of the class tokens' and the patch head's."""
        return (self.class_logits + self.patch_logits) / 2


class MCTformerPlus(MCTformer):
    """MCTformer+: MCTformer-V2 with positions of class tokens and patches apart, and patch logits by rank.

    Args:
        num_classes: classes C without background.
        img_size: side of the square training image, in pixels; sets the size of the position table.
        rank_decay: the k-th largest value of a patch map weighs ``rank_decay ** k`` in its logit: global weighted rank
            pooling (Kolesnikov and Lampert, ECCV 2016); 1 is the mean.
        unused_img_size: side of the image that the unused table `pos_embed` [1, 1 + side², dim] is for. DeiT's, it is
            in every published checkpoint.
        **options: as for `MCTformer`.
    """

    class_tokens = ("cls_token", "pos_embed_cls")
    output_type = MCTformerPlusOutput
    attention_is_mean, map_is_root = True, True

    def __init__(
        self,
        num_classes: int,
        *,
        img_size: int = 448,
        rank_decay: float = 0.996,
        unused_img_size: int = 224,
        **options: Any,
    ) -> None:
        super().__init__(num_classes, img_size=img_size, **options)
        self.rank_decay = rank_decay
        classes, patches = self.pos_embed.data.split([num_classes, self.side**2], dim=1)
        self.pos_embed_cls = nn.Parameter(classes.clone())
        self.pos_embed_pat = nn.Parameter(patches.clone())
        unused = 1 + (unused_img_size // self.patch_size) ** 2
        self.pos_embed = nn.Parameter(torch.zeros(1, unused, patches.shape[-1]), requires_grad=False)

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not decayed although they are no vectors."""
        return {"cls_token", "pos_embed_cls", "pos_embed_pat"}

    def pool(self, patch_maps: Tensor) -> Tensor:
        """Patch logits [B, C] of the patch head's maps [B, C, h, w]: their mean, weighted by rank."""
        ranked = patch_maps.flatten(2).sort(dim=-1, descending=True).values
        weights = self.rank_decay ** torch.arange(ranked.shape[-1], device=ranked.device)
        return (ranked * weights).sum(dim=-1) / weights.sum()

    def positions(self, image_size: tuple[int, int]) -> Tensor:
        """Position embeddings [1, C + h * w, dim] for an image of `image_size` (height, width) pixels.

        On another grid than the table's the patches' are resampled bicubically to it.
        """
        grid = tuple(size // self.patch_size for size in image_size)
        same = grid == (self.side, self.side)
        patches = self.pos_embed_pat if same else resample_positions(self.pos_embed_pat, size=grid)
        return torch.cat([self.pos_embed_cls, patches], dim=1)

    @property
    def position_tables(self) -> tuple[PositionTable, ...]:
        """Its tables of positions; the unused one is none."""
        return (PositionTable("pos_embed_pat", (), (self.side, self.side)),)

    def position_tensors(self, classes: Tensor, patches: Tensor) -> dict[str, Tensor]:
        """Parameters by name that hold positions of class tokens [1, C, dim] and of patches [1, side², dim]."""
        return {"pos_embed_cls": classes, "pos_embed_pat": patches}


register("mctformer_plus_small", MCTformerPlus, "MCTformer+ on DeiT-S, 448 px")
