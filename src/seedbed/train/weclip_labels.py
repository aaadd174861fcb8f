"""Labels of pixels from a frozen CLIP, as WeCLIP makes them on the way (Zhang et al. 2024, section 3.3)."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import ParameterError, unknown_name
from seedbed.explain.box_affinity import BoxEnds, spread_in_boxes, transition
from seedbed.explain.targets import ABSENT, Pairs, explain_pairs
from seedbed.explain.text_cam import softmax_gradcam
from seedbed.models.weclip import Seen, WeClip
from seedbed.refine.background import with_background
from seedbed.refine.par import DILATIONS, pixel_adaptive_refinement

LayerChoice = Literal["signed", "absolute"]


@dataclass(frozen=True)
class LabelSettings:
    """How labels are made.

    Attributes:
        layers: how many of the last blocks' attention is averaged while the decoder has no say.
        chosen_from: from how many of the last blocks some are chosen once it has.
        layer_choice: see `chosen_attention`.
        threshold, box_ends: see `seedbed.explain.box_affinity.box_mask`; None: no boxes.
        dilations, iterations: of PAR.

    Raises:
        ParameterError: there are no layers, or the choice is unknown.
    """

    layers: int = 8
    chosen_from: int = 6
    layer_choice: LayerChoice = "absolute"
    threshold: float | None = 0.4
    box_ends: BoxEnds = "whole"
    dilations: tuple[int, ...] = DILATIONS
    iterations: int = 20

    def __post_init__(self) -> None:
        for name, number in (("layers", self.layers), ("chosen_from", self.chosen_from)):
            if number < 1:
                raise ParameterError(f"{name} must be 1 or more, got {number}.")
        if self.layer_choice not in get_args(LayerChoice):
            raise ParameterError(unknown_name("layer_choice", self.layer_choice, get_args(LayerChoice)))


def present_classes(labels: Tensor) -> Tensor:
    """Class indices of multi-hot labels [B, C], ascending, filled up with -1: int64 [B, K]."""
    count = max(1, int((labels > 0).sum(1).max()))
    order = (labels > 0).int().argsort(dim=1, descending=True, stable=True)[:, :count]
    return order.where(labels.gather(1, order) > 0, ABSENT)


def chosen_attention(attention: Tensor, affinity: Tensor, choice: LayerChoice) -> tuple[Tensor, Tensor]:
    """Mean attention [B, N, N] of the layers that are nearest to the decoder's affinity, times it; and which they are.

    A layer is kept where its distance is at most the mean of all distances (equations 6 to 8).

    Args:
        attention: [L, B, N, N], patch to patch.
        affinity: [B, N, N] in 0..1.
        choice: the distance: sums of ``absolute`` differences, as the paper reads; or of ``signed`` ones, as published,
            in which the affinity cancels and layers are kept that look least at the class token.

    Returns:
        The matrices, and bool [L, B].
    """
    difference = affinity - attention
    distance = (difference.abs() if choice == "absolute" else difference).sum((-2, -1))
    kept = distance <= distance.mean(0)
    weights = kept.to(attention)[..., None, None]
    return (weights * attention).sum(0) / (weights.sum(0) + 1e-5) * affinity, kept


@torch.no_grad()
def refined_maps(
    model: WeClip, seen: Seen, targets: Tensor, affinity: Tensor | None, settings: LabelSettings
) -> Tensor:
    """Maps [B, K, h, w] in 0..1 of present classes, spread by attention; 0 for absent ones.

    Args:
        model, seen: the network and what its tower saw.
        targets: int64 [B, K], -1 = absent.
        affinity: [B, N, N], the decoder's, once it has a say; None before.
        settings: layers and boxes.
    """
    grid = (seen.levels[0].shape[-2], seen.levels[0].shape[-1])
    if affinity is None:
        mixed = torch.stack(seen.attention[-settings.layers :]).mean(0)
    else:
        attention = torch.stack(seen.attention[-settings.chosen_from :])
        mixed, _ = chosen_attention(attention, affinity, settings.layer_choice)
    transitions = transition(mixed)

    def explain(pairs: Pairs) -> Tensor:
        maps = softmax_gradcam(model, seen.before, targets, pairs)
        return spread_in_boxes(maps, pairs.take(transitions), grid, settings.threshold, settings.box_ends)

    return explain_pairs(targets, explain, grid)


@torch.no_grad()
def pixel_labels(images: Tensor, maps: Tensor, targets: Tensor, settings: LabelSettings) -> Tensor:
    """Labels of pixels, int64 [B, H, W], 0 background, ``c + 1`` for class ``c``: maps at the images' size under a
    background of 1 - max, refined by PAR; none is left out.

    Args:
        images: [B, 3, H, W].
        maps: [B, K, h, w] in 0..1.
        targets: int64 [B, K], -1 = absent.
        settings: PAR's.
    """
    enlarged = F.interpolate(maps.float(), images.shape[-2:], mode="bilinear", align_corners=False)
    scores = with_background(enlarged, 1.0)
    refined = pixel_adaptive_refinement(
        images.float(), scores, dilations=settings.dilations, iterations=settings.iterations
    )
    winners = refined.argmax(1)
    labels = F.pad(targets + 1, (1, 0))
    return labels.gather(1, winners.flatten(1)).view_as(winners)
