"""Labels of pixels from a frozen CLIP and a decoder that has a say from the start (WeCLIP+)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seedbed.explain.box_affinity import spread_in_boxes, transition
from seedbed.explain.targets import Pairs, explain_pairs
from seedbed.explain.text_cam import softmax_gradcam
from seedbed.models.weclip import Seen, WeClip
from seedbed.train.weclip_labels import LabelSettings, chosen_attention


@torch.no_grad()
def weighted_maps(
    model: WeClip, seen: Seen, targets: Tensor, affinity: Tensor, probabilities: Tensor, settings: LabelSettings
) -> Tensor:
    """Maps [B, K, h, w] in 0..1 of present classes, times the decoder's probability, spread by attention; 0 for absent
    ones.

    Boxes are those of the maps before they are weighted.

    Args:
        model, seen: the network and what its CLIP saw.
        targets: int64 [B, K], -1 = absent.
        affinity: [B, N, N], the decoder's.
        probabilities: [B, C + 1, h, w], the decoder's, background first.
        settings: layers and boxes.
    """
    grid = (probabilities.shape[-2], probabilities.shape[-1])
    attention = torch.stack(seen.attention[-settings.chosen_from :])
    transitions = transition(chosen_attention(attention, affinity, settings.layer_choice)[0])

    def explain(pairs: Pairs) -> Tensor:
        maps = softmax_gradcam(model, seen.before, targets, pairs)
        weights = probabilities[pairs.image, pairs.label + 1].flatten(1)
        boxes = (settings.threshold, settings.box_ends)
        return spread_in_boxes(maps, pairs.take(transitions), grid, *boxes, weights=weights)

    return explain_pairs(targets, explain, grid)


def self_labels(logits: Tensor, labels: Tensor, above: float) -> Tensor:
    """Labels int64 [B, H, W], those of pixels of which the decoder is sure replaced by what it says.

    Args:
        logits: [B, C, H, W].
        labels: int64 [B, H, W].
        above: probability above which it is.
    """
    confidence, said = logits.detach().softmax(1).max(1)
    return torch.where(confidence > above, said, labels)


def enlarged(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores [B, C, h, w] of patches at the size of pixels, [B, C, *size]."""
    return F.interpolate(scores, size, mode="bilinear", align_corners=False)
