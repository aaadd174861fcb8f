"""AReAM (He et al. 2023, section 4.3): deep attention supervised by labels that attention itself made reliable.

Forward, without gradients: each layer's attention propagates the class maps (equation 7), layers whose propagated map
is spread out count less (8), the weighted sum of all layers propagates the maps again (9), pixel-adaptive refinement
and two thresholds make labels of them (10 to 13), and labels make pairs (14). Backward: each layer's scores learn the
pairs (15), the spread-out layers most (16). An image's result never depends on the other images of its batch.

Shapes: B images, L layers, h x w patches, N = h * w, K class slots (the most classes that one image has).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.errors import DataError, ParameterError, unknown_name
from seedbed.explain.map_scaling import min_max, upsample
from seedbed.models.attention_layers import layer_indices
from seedbed.refine.par import DILATIONS, pixel_adaptive_refinement
from seedbed.refine.propagation import propagate
from seedbed.refine.reliable import cam_to_label
from seedbed.settings.checked import checked

ABSENT = -1


class ClassMaps(NamedTuple):
    """The maps of the classes that each image has.

    Attributes:
        maps: [B, K, h, w] float32 in 0..1; slots without a class are 0.
        classes: [B, K] int64, ascending class indices, -1 where an image has fewer than K classes.
    """

    maps: Tensor
    classes: Tensor


@torch.no_grad()
@checked
def present_maps(maps: Tensor, labels: Tensor) -> ClassMaps:
    """Pick each image's own classes, cut their maps at 0 and stretch each to 0..1 (equations 1 and 2).

    Args:
        maps: [B, C, h, w] float, signed class maps.
        labels: [B, C], non-zero where a class is present.

    Returns:
        `ClassMaps`; a map without a positive value, or a constant one, is 0 everywhere. K is 1 at least.

    Raises:
        DataError: maps and labels do not fit each other.
    """
    if maps.ndim != 4 or labels.shape != maps.shape[:2]:
        raise DataError(f"Need maps [B, C, h, w] and labels [B, C], got {tuple(maps.shape)} and {tuple(labels.shape)}.")
    present = labels != 0
    slots = max(1, int(present.sum(dim=1).max()))
    # A stable sort of "absent" puts the present classes first, in ascending order.
    order = (~present).int().sort(dim=1, stable=True).indices[:, :slots]
    taken = present.gather(1, order)
    chosen = maps.detach().float().gather(1, order[:, :, None, None].expand(-1, -1, *maps.shape[-2:]))
    scaled = min_max(chosen.relu()) * taken[:, :, None, None]
    return ClassMaps(scaled, order.masked_fill(~taken, ABSENT))


@torch.no_grad()
@checked
def layer_weights(maps: Tensor, affinities: Sequence[Tensor], kind: str = "entropy", scale: str = "none") -> Tensor:
    """Weigh each layer by how concentrated the map is that its attention propagates (equations 7 and 8).

    ``P = softmax over pixels of A sum_c M_c``, and with its entropy ``H = - sum P log P`` the kinds are

    - ``entropy``: ``1 - H / log N``, in 0..1. The text asks for small weights where the entropy is large;
    - ``literal``: ``1 - sum P log P = 1 + H``, the formula as printed. It is at least 1 and grows with the entropy, so
      that equation 16 would reward a bad layer instead of mending it;
    - ``uniform``: ``1 / L``, the plain mean of equation 5.

    Args:
        maps: [B, K, h, w] float, see `present_maps`.
        affinities: per layer [B, N, N], attention after the softmax, averaged over heads.
        kind: as above.
        scale: ``none``; ``sum`` divides by the sum over the layers; ``max`` by the largest layer's weight, so that
            the most concentrated layer counts fully in equation 9 and not at all in equation 16.

    Returns:
        [B, L] float32. An image whose maps are all 0 has entropy weights of 0.
    """
    if kind not in WEIGHTS:
        raise ParameterError(unknown_name("layer weighting", kind, WEIGHTS))
    if scale not in WEIGHT_SCALES:
        raise ParameterError(unknown_name("scale of layer weights", scale, WEIGHT_SCALES))
    if not affinities:
        raise DataError("There are no layers to weigh.")
    total = maps.sum(dim=1, keepdim=True)
    propagated = torch.stack([propagate(total, affinity.to(total)).flatten(1) for affinity in affinities], dim=1)
    # In float64: a smooth layer's weight is the tiny rest of 1 - 1, and an untrained network has smooth layers only.
    log_p = propagated.double().log_softmax(dim=-1)
    entropy = -(log_p.exp() * log_p).sum(dim=-1)
    return WEIGHT_SCALES[scale](WEIGHTS[kind](entropy, propagated.shape[-1])).float()


@torch.no_grad()
@checked
def fuse_layers(maps: Tensor, affinities: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Propagate maps [B, K, h, w] by the weighted sum of all layers (equation 9): ``M (sum_l w_l A_l)^T``."""
    if weights.shape != (len(maps), len(affinities)):
        raise DataError(f"Weights {tuple(weights.shape)} do not fit {len(maps)} images and {len(affinities)} layers.")
    sizes = {tuple(affinity.shape) for affinity in affinities}
    if len(sizes) != 1:
        raise DataError(f"The affinities of all layers must be of one shape [B, N, N], got {sorted(sizes)}.")
    fused: Any = sum(
        weight[:, None, None] * affinity for weight, affinity in zip(weights.unbind(1), affinities, strict=True)
    )
    return propagate(maps, fused.to(maps))


@torch.no_grad()
@checked
def reliable_labels(
    images: Tensor,
    maps: Tensor,
    classes: Tensor,
    *,
    thresholds: tuple[float, float] = (0.35, 0.55),
    rule: str = "ignore_middle",
    iterations: int = 10,
    dilations: Sequence[int] = DILATIONS,
    downscale: int = 2,
    sampling: str = "nearest",
    ignore_padding: bool = True,
) -> Tensor:
    """Label every patch as one of the image's classes, background or uncertain (equations 10 to 13).

    Each map is stretched to 0..1 (layer weights do not sum to 1, and both thresholds are absolute), enlarged,
    refined along the image's content without the refinement's gain, sampled at the patches and compared:

    - ``ignore_middle``: above the high threshold the strongest class, at or below the low one background, else 255;
    - ``literal``: equation 13's cases from top to bottom, as printed: above the *low* threshold the strongest class;
      everything else is below the high one, so background, and 255 never occurs.

    Args:
        images: [B, 3, H, W] float, normalised or not: refinement does not depend on the scale.
        maps: [B, K, h, w] float >= 0, propagated maps.
        classes: [B, K] int64, -1 for an empty slot, see `present_maps`.
        thresholds: ``(low, high)``. The paper: (0.35, 0.55) for Conformer-S, (0.15, 0.35) for MCTformer.
        rule: as above.
        iterations: of the refinement; 0 leaves it out, and the maps are compared as they are.
        dilations: of the refinement, in its pixels. AFA's reach 24 of 256 pixels; small images want smaller ones.
        downscale: the refinement works at ``1 / downscale`` of the image's resolution. 2 is AFA's, whose settings the
            paper takes over; 1 is the image's own.
        sampling: ``nearest``, the top-left pixel of each patch (AFA); ``mean``, the mean over the patch.
        ignore_padding: make patches 255 whose image part is 0 in all channels, which is what a crop pads with after
            normalising (no 8-bit grey level is normalised to exactly 0). AFA leaves them out by their boxes.

    Returns:
        [B, h, w] int64: 0 background, ``c + 1`` for class ``c``, 255 uncertain.

    Raises:
        DataError: shapes do not fit.
        ParameterError: a rule or a way of sampling is unknown, thresholds are not ordered, or ``downscale`` is below 1
            or leaves fewer pixels than patches.
    """
    _check_labelling(images, maps, classes, thresholds, rule, sampling)
    grid = maps.shape[-2:]
    scores = min_max(maps)
    if iterations > 0:
        size = _refinement_size(images.shape[-2:], grid, downscale)
        small = F.interpolate(images.float(), size=size, mode="bilinear", align_corners=False)
        refined = pixel_adaptive_refinement(
            small, upsample(scores, size), iterations=iterations, dilations=dilations, remove_gain=True
        )
        scores = SAMPLINGS[sampling](refined, grid)
    low, high = thresholds
    comparison: dict[str, Any] = (
        {"background": None, "thresholds": (low, high)} if rule == "ignore_middle" else {"background": low}
    )
    slot = cam_to_label(scores, classes >= 0, **comparison)
    labels = _class_of_slot(slot, classes)
    if ignore_padding:
        filled = (images != 0).any(dim=1, keepdim=True).float()
        labels.masked_fill_(SAMPLINGS[sampling](filled, grid)[:, 0] < 0.5, 255)
    return labels


@checked
def layer_losses(scores: Sequence[Tensor], pairs: Tensor) -> Tensor:
    """How far each layer's gates are from the pairs (equation 15), image by image.

    ``1 / N+ sum_(pairs 1) (1 - sigmoid(S)) + 1 / N- sum_(pairs 0) sigmoid(S)``; a term without pairs is 0.

    Args:
        scores: per layer [B, N, N], scaled scores before the softmax (equation 3), averaged over heads.
        pairs: [B, N, N] integer: 1 same label, 0 different, 255 ignored; see `attention_affinity_labels`.

    Returns:
        [B, L] float32 in 0..2. Gradients flow to the scores.
    """
    for layer in scores:
        if layer.shape != pairs.shape:
            raise DataError(f"Scores {tuple(layer.shape)} do not fit pairs {tuple(pairs.shape)}.")
    same, different = pairs == 1, pairs == 0
    count_same = same.sum(dim=(1, 2), keepdim=True)
    count_different = different.sum(dim=(1, 2), keepdim=True)
    # One weight a pair, shared by all layers: the loss is linear in the gates.
    slope = different / count_different.clamp(min=1) - same / count_same.clamp(min=1)
    constant = (count_same > 0).float().flatten()
    return torch.stack([constant + (slope * layer.float().sigmoid()).sum(dim=(1, 2)) for layer in scores], dim=1)


@checked
def inverted_sum(losses: Tensor, weights: Tensor, layers: Sequence[int] | str | None = None) -> Tensor:
    """Sum the layers' losses with inverted weights (equation 16): ``sum_l (1 - w_l) L_l``, [B].

    Args:
        losses, weights: [B, L].
        layers: which layers are supervised, see `layer_indices`; None: all, as the equation says.

    Raises:
        ParameterError: a layer does not exist.
    """
    if losses.ndim != 2 or losses.shape != weights.shape:
        raise DataError(f"Need losses and weights [B, L], got {tuple(losses.shape)} and {tuple(weights.shape)}.")
    chosen = layer_indices(layers, losses.shape[1])
    terms = ((1 - weights) * losses).unbind(dim=1)
    return torch.stack([terms[layer] for layer in chosen], dim=1).sum(dim=1)


def _class_of_slot(slot: Tensor, classes: Tensor) -> Tensor:
    """Turn labels [B, h, w] over slots (0 background, k + 1 slot k, 255) into labels over classes."""
    uncertain = slot == 255
    table = torch.cat([classes.new_zeros(len(classes), 1), classes + 1], dim=1)
    labels = table.gather(1, slot.masked_fill(uncertain, 0).flatten(1)).view_as(slot)
    return labels.masked_fill(uncertain, 255)


def _refinement_size(image: Sequence[int], grid: Sequence[int], downscale: int) -> tuple[int, int]:
    size = (image[0] // downscale, image[1] // downscale) if downscale >= 1 else (0, 0)
    if size[0] < grid[0] or size[1] < grid[1]:
        raise ParameterError(
            f"downscale {downscale} leaves {size[0]} x {size[1]} pixels for {grid[0]} x {grid[1]} patches; choose 1 to "
            f"{min(image[0] // grid[0], image[1] // grid[1])}."
        )
    return size


def _check_labelling(
    images: Tensor, maps: Tensor, classes: Tensor, thresholds: Sequence[float], rule: str, sampling: str
) -> None:
    if images.ndim != 4 or maps.ndim != 4 or len(images) != len(maps) or classes.shape != maps.shape[:2]:
        raise DataError(
            f"Need images [B, 3, H, W], maps [B, K, h, w] and classes [B, K], got {tuple(images.shape)}, "
            f"{tuple(maps.shape)} and {tuple(classes.shape)}."
        )
    if len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1] <= 1:
        raise ParameterError(f"thresholds must be (low, high) with 0 <= low <= high <= 1, got {tuple(thresholds)}.")
    for kind, name, known in (("threshold rule", rule, RULES), ("sampling", sampling, SAMPLINGS)):
        if name not in known:
            raise ParameterError(unknown_name(kind, name, known))


def _over_sum(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)


def _over_largest(weights: Tensor) -> Tensor:
    return weights / weights.amax(dim=1, keepdim=True).clamp(min=1e-12)


RULES = ("ignore_middle", "literal")
WEIGHTS: dict[str, Callable[[Tensor, int], Tensor]] = {
    # A single patch has no entropy and its logarithm is 0.
    "entropy": lambda entropy, patches: (1 - entropy / math.log(max(patches, 2))).clamp(min=0),
    "literal": lambda entropy, patches: 1 + entropy,
    "uniform": lambda entropy, patches: torch.full_like(entropy, 1 / entropy.shape[1]),
}
WEIGHT_SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda weights: weights,
    "sum": _over_sum,
    "max": _over_largest,
}
SAMPLINGS: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "nearest": lambda maps, grid: F.interpolate(maps, size=tuple(grid), mode="nearest"),
    "mean": lambda maps, grid: F.adaptive_avg_pool2d(maps, (grid[0], grid[1])),
}
