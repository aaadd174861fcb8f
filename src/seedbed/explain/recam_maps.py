"""ReCAM's class maps: the last features under the product of both heads' weights."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import of_classes, resolve
from seedbed.models.recam import ReCAM


def not_a_recam(model: nn.Module) -> str | None:
    """Say why ``model`` has no head for masked features; None if it has."""
    return None if isinstance(model, ReCAM) else "it is not ReCAM's classifier"


@explainer("recam", needs=not_a_recam, description="ReCAM: class activation maps by the product of both heads' weights")
def recam(
    model: ReCAM,
    images: Tensor,
    targets: Tensor | None,
    *,
    weights: Literal["product", "sigmoid", "softmax"] = "product",
) -> Tensor:
    """Return [B, K, h, w], signed (section 3); the published code cuts each view at 0 before it adds them up.

    Args:
        model: ReCAM's classifier.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        weights: the ``product`` of both heads, as published; of the classifier (``sigmoid``) or of the second head
            (``softmax``) alone.
    """
    twin = evaluated(model, hooks=True)
    features = twin.backbone.forward_features(images)
    first, second = twin.backbone.fc.weight, twin.softmax_head.weight
    chosen = {"product": first * second, "sigmoid": first, "softmax": second}[weights]
    maps = F.conv2d(features, chosen[..., None, None])
    logits = twin.backbone.forward_head(features)
    return of_classes(maps, resolve(targets, logits))
