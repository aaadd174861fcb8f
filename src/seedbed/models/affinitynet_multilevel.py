"""An affinity network on several levels of a hybrid ViT: what the [Re] paper (ReScience C 2022) did not try.

Its section 6 suspects that features of one level alone hold its AffinityNet back, where PSA's joins several, and calls
joining them infeasible with a transformer. Here the stages of the CNN, and the tokens of chosen blocks laid out on
their grid, are levels like any other.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.models.affinitynet import AffinitiesOfFeatures
from seedbed.models.pair_affinity import RADIUS
from seedbed.models.parameter_groups import FourGroups
from seedbed.models.registry import create_model, register


class MultiLevelHead(nn.Module):
    """Features of several levels to affinities, as PSA joins its taps, with [Re]'s norms.

    Of each level: bilinear to one size, 1x1 conv + GroupNorm + ELU; of all together: 1x1 conv + ELU.

    Args:
        widths_in: channels of each level.
        level_width: channels that each level is brought to.
        width: channels of the result.
        norm_groups: of each GroupNorm.
    """

    def __init__(
        self, widths_in: Sequence[int], *, level_width: int = 128, width: int = 512, norm_groups: int = 32
    ) -> None:
        super().__init__()
        convs = [nn.Conv2d(each, level_width, 1, bias=False) for each in widths_in]
        self.level_convs = nn.ModuleList(convs)
        self.level_norms = nn.ModuleList(nn.GroupNorm(norm_groups, level_width) for _ in widths_in)
        self.affinity_conv = nn.Conv2d(level_width * len(widths_in), width, 1, bias=False)
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight)
        nn.init.xavier_uniform_(self.affinity_conv.weight, gain=4)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Levels [B, widths_in[k], h_k, w_k] -> [B, width, *size]."""
        parts = []
        for level, conv, norm in zip(levels, self.level_convs, self.level_norms, strict=True):
            resized = F.interpolate(level, size=size, mode="bilinear", align_corners=False)
            parts.append(F.elu(norm(conv(resized))))
        return F.elu(self.affinity_conv(torch.cat(parts, dim=1)))


class MultiLevelAffinityNet(AffinitiesOfFeatures, FourGroups, nn.Module):
    """A hybrid ViT with a `MultiLevelHead` on every stage of its CNN and on the tokens of chosen blocks.

    Without blocks it holds the CNN alone, as ``backbone``; else the ViT up to the deepest of them, as ``vit``.

    Args:
        hybrid: name of a hybrid ViT whose tokens come from ``patch_embed.backbone``, a CNN in stages.
        blocks: of the transformer, from 0, or from the end as -1; their tokens pass its last norm.
        level_width, head_width, head_norm_groups: of the head.
        radius: of the neighbourhood, in cells, two a side for each cell of the CNN's last map.
        **hybrid_arguments: overrides of the hybrid.

    Raises:
        ParameterError: the model named is no hybrid, or has no such block.
    """

    new_layers = ("head",)

    def __init__(
        self,
        *,
        hybrid: str = "vit_base_r50_s16_384",
        blocks: Sequence[int] = (-1,),
        level_width: int = 128,
        head_width: int = 512,
        head_norm_groups: int = 32,
        radius: int = RADIUS,
        **hybrid_arguments: Any,
    ) -> None:
        super().__init__()
        vit: Any = create_model(hybrid, num_classes=1, dynamic_img_size=True, **hybrid_arguments)
        backbone: Any = getattr(getattr(vit, "patch_embed", None), "backbone", None)
        if not hasattr(backbone, "stages"):
            raise ParameterError(f"Model '{hybrid}' is no hybrid with a CNN in stages. Choose one.")
        self.blocks = _block_numbers(blocks, len(vit.blocks))
        widths = [_width_of(stage) for stage in backbone.stages] + [vit.embed_dim for _ in self.blocks]
        if self.blocks:
            vit.reset_classifier(0)
            vit.blocks = vit.blocks[: max(self.blocks) + 1]
            self.vit = vit
        else:
            self.backbone = backbone
        self.head = MultiLevelHead(widths, level_width=level_width, width=head_width, norm_groups=head_norm_groups)
        self.radius = radius

    def levels(self, images: Tensor) -> list[Tensor]:
        """Maps [B, C_k, h_k, w_k] of normalised images [B, 3, H, W]: of each stage, then of each chosen block."""
        backbone: Any = self.vit.patch_embed.backbone if self.blocks else self.backbone
        x, found = backbone.stem(images), []
        for stage in backbone.stages:
            x = stage(x)
            found.append(x)
        found[-1] = backbone.norm(x)
        return [*found, *self._of_blocks(found[-1])] if self.blocks else found

    def features(self, images: Tensor) -> Tensor:
        """Pixel features [B, head_width, 2h, 2w] of normalised images [B, 3, H, W]; h x w is the CNN's last map."""
        levels = self.levels(images)
        last = levels[-1 - len(self.blocks)]
        return self.head(levels, (2 * last.shape[-2], 2 * last.shape[-1]))

    def _of_blocks(self, last: Tensor) -> list[Tensor]:
        """Tokens of the chosen blocks on the grid of the CNN's last map [B, C, h, w], in the order of `blocks`."""
        vit: Any = self.vit
        grid = vit.patch_embed.proj(last)
        tokens, found = vit.norm_pre(vit._pos_embed(grid.permute(0, 2, 3, 1))), {}
        for number, block in enumerate(vit.blocks):
            tokens = block(tokens)
            if number in self.blocks:
                patches = vit.norm(tokens)[:, vit.num_prefix_tokens :]
                found[number] = patches.transpose(1, 2).unflatten(2, grid.shape[-2:])
        return [found[number] for number in self.blocks]


def _block_numbers(blocks: Sequence[int], depth: int) -> tuple[int, ...]:
    wrong = [number for number in blocks if not -depth <= number < depth]
    if wrong:
        raise ParameterError(f"blocks: {wrong[0]} is none of the hybrid's {depth}, 0 to {depth - 1} or -1 to {-depth}.")
    return tuple(number % depth for number in blocks)


def _width_of(stage: nn.Module) -> int:
    """Channels that a stage gives: those of its last convolution."""
    return [part for part in stage.modules() if isinstance(part, nn.Conv2d)][-1].out_channels


HALF = (0.5, 0.5, 0.5)
register(
    "affinitynet_multilevel",
    MultiLevelAffinityNet,
    "Affinity network on stages and blocks of R50 + ViT-B",
    task="affinity",
    mean=HALF,
    std=HALF,
)
register(
    "affinitynet_multilevel_tiny",
    MultiLevelAffinityNet,
    "Affinity network on stages and blocks of the tiny hybrid",
    task="affinity",
    mean=HALF,
    std=HALF,
    hybrid="vit_tiny_r_s8",
    level_width=32,
    head_width=64,
    head_norm_groups=8,
)
