"""SIPE's class maps: how much more a place resembles its image's prototype of a class than that of the background."""

from typing import Literal

import torch
from torch import Tensor, nn

from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import ABSENT, of_classes, resolve
from seedbed.models.peaked import peaked
from seedbed.models.sipe import (
    BACKGROUND_FACTOR,
    SIPE,
    SIPEOutput,
    general_maps,
    seed_regions,
    specific_maps,
)


def not_a_sipe(model: nn.Module) -> str | None:
    """Say why ``model`` has no prototypes; None if it has."""
    return None if isinstance(model, SIPE) else "it is not SIPE's classifier"


@explainer("sipe", needs=not_a_sipe, description="SIPE: what resembles the image's own prototype of a class")
def sipe(
    model: SIPE,
    images: Tensor,
    targets: Tensor | None,
    *,
    maps: Literal["margin", "specific", "class"] = "margin",
    mirrored: bool = True,
    features: Literal["hierarchical", "semantic"] = "hierarchical",
    absent: Literal["compete", "left_out"] = "compete",
    background_factor: float = BACKGROUND_FACTOR,
) -> Tensor:
    """Return [B, K, h, w] in 0..1.

    Args:
        model: SIPE's classifier.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class. An image's prototypes are those of all of its targets
            and of the background.
        maps: the image-``specific`` maps, each divided by its maximum; half of 1 plus their ``margin`` over the
            background's, which is above 0.5 exactly where the class is stronger than the background; or the ``class``
            activation maps.
        mirrored: add up maps and features of the image and of its mirror image before regions are sought.
        features: by which likeness makes regions; the published code trains with ``semantic`` ones.
        absent: whether places that go to an absent class are lost, as published, or go to the next.
        background_factor: see `seed_regions`.
    """
    output = _both_views(model, images) if mirrored else evaluated(model, hooks=True)(images)
    targets = resolve(targets, output.logits)
    general = general_maps(output.maps)
    present = _present(targets, general)
    likeness = output.hierarchical if features == "hierarchical" else output.semantic
    scores = general if absent == "compete" else general * present
    seeds = seed_regions(scores, likeness, background_factor) * present
    specific = peaked(specific_maps(output.hierarchical, seeds))
    margin = (1 + specific[:, 1:] - specific[:, :1]) / 2
    found = {"margin": margin, "specific": specific[:, 1:], "class": general[:, 1:]}[maps]
    return of_classes(found, targets)


def _both_views(model: SIPE, images: Tensor) -> SIPEOutput:
    """Sums of what the network gives for images and for their mirror images, these turned back."""
    halves = [part.chunk(2) for part in evaluated(model, hooks=True)(torch.cat([images, images.flip(-1)]))]
    plain, turned = (SIPEOutput(*parts) for parts in zip(*halves, strict=True))
    summed = [one + other.flip(-1) for one, other in zip(plain[1:], turned[1:], strict=True)]
    return SIPEOutput(plain.logits + turned.logits, *summed)


def _present(targets: Tensor, scores: Tensor) -> Tensor:
    """1 for the background and for an image's targets, else 0: [B, C + 1, 1, 1], of targets [B, K]."""
    places = torch.where(targets == ABSENT, 0, targets + 1)  # an absent slot says what is true anyway
    present = scores.new_zeros(scores.shape[:2]).scatter_(1, places, 1.0)
    present[:, 0] = 1
    return present[:, :, None, None]
