"""CLIP-ES (Lin et al., CVPR 2023): class maps of a frozen CLIP, refined by its own attention."""

from collections import deque
from typing import Literal

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.explain.box_affinity import spread_in_boxes, transition
from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import Pairs, explain_pairs, resolve
from seedbed.explain.text_cam import softmax_gradcam
from seedbed.models.clip_classifier import ClipClassifier


def not_a_clip(model: nn.Module) -> str | None:
    """Say why ``model`` is no CLIP whose classes are texts; None if it is."""
    return None if isinstance(model, ClipClassifier) else "it is no CLIP whose classes are texts"


@explainer(
    "text_cam",
    needs=not_a_clip,
    description="Softmax-GradCAM of CLIP's last block: its classes and words compete",
    beyond_papers=True,
)
def text_cam(model: ClipClassifier, images: Tensor, targets: Tensor | None) -> Tensor:
    """Return [B, K, h, w] in 0..1: `softmax_gradcam`, what CLIP-ES refines.

    Args:
        model: a CLIP whose classes are texts.
        images: [B, 3, H, W].
        targets: int64 [B, K], the present classes, which compete; or None for the predicted one.
    """
    model = evaluated(model, hooks=True)
    tokens, grid = model.tower.embed(images)
    before = tokens
    for step in model.tower.steps(tokens):
        before, tokens = tokens, step.tokens
    found = resolve(targets, _logits(model, tokens))
    return explain_pairs(found, lambda pairs: softmax_gradcam(model, before, found, pairs), grid)


@explainer(
    "clip_es",
    needs=not_a_clip,
    description="CLIP-ES: Softmax-GradCAM spread by attention within boxes",
    beyond_papers=True,
)
def clip_es(
    model: ClipClassifier,
    images: Tensor,
    targets: Tensor | None,
    *,
    layers: int = 8,
    threshold: float | None = 0.4,
    box_ends: Literal["whole", "open"] = "whole",
) -> Tensor:
    """Return [B, K, h, w] in 0..1: `text_cam` of each present class, spread by the mean attention of the last blocks.

    The attention's class row and column are cut off first, so that rows sum to less than 1; see `transition`. A class
    whose boxes are empty has a map of zeros.

    Args:
        model: a CLIP whose classes are texts.
        images: [B, 3, H, W].
        targets: int64 [B, K], the present classes, which compete; or None for the predicted one.
        layers: how many of the last blocks' attention is averaged; all where there are fewer.
        threshold: share of a map's maximum above which boxes are drawn, 0.4 on VOC, 0.7 on COCO; None: no boxes.
        box_ends: ``open`` as published, see `BoxEnds`.

    Raises:
        ParameterError: no layer is averaged, the threshold is not in 0..1, or boxes do not end so.
    """
    if layers < 1:
        raise ParameterError(f"layers={layers}: average the attention of one block or more.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ParameterError(f"threshold={threshold}: is a share of a map's maximum, 0 to 1, or null for no boxes.")
    model = evaluated(model, hooks=True)
    tokens, grid = model.tower.embed(images)
    before, attention = tokens, deque[Tensor](maxlen=layers)
    for step in model.tower.steps(tokens):
        before, tokens = tokens, step.tokens
        attention.append(step.attention[:, :, 1:, 1:].mean(1))
    found = resolve(targets, _logits(model, tokens))
    transitions = transition(torch.stack(list(attention)).mean(0))

    def explain(pairs: Pairs) -> Tensor:
        maps = softmax_gradcam(model, before, found, pairs)
        return spread_in_boxes(maps, pairs.take(transitions), grid, threshold, box_ends)

    return explain_pairs(found, explain, grid)


def _logits(model: ClipClassifier, tokens: Tensor) -> Tensor:
    return model.scores(model.tower.project(tokens[:, 0]), model.classes)
