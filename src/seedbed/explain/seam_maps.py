"""SEAM's class maps: those that its pixel correlation module refined."""

from typing import Literal

from torch import Tensor, nn

from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import of_classes, resolve
from seedbed.models.seam import SEAM


def not_a_seam(model: nn.Module) -> str | None:
    """Say why ``model`` has no pixel correlation module; None if it has."""
    return None if isinstance(model, SEAM) else "it is not SEAM's classifier"


@explainer("seam", needs=not_a_seam, description="SEAM: class activation maps refined by which pixels look alike")
def seam(
    model: SEAM, images: Tensor, targets: Tensor | None, *, maps: Literal["refined", "class"] = "refined"
) -> Tensor:
    """Return [B, K, h, w]; refined maps lie in 0..1, class activation maps are signed.

    Args:
        model: SEAM's classifier.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        maps: the maps that the module ``refined``, or the ``class`` activation maps that it was given.
    """
    output = evaluated(model, hooks=True)(images)
    found = output.refined[:, 1:] if maps == "refined" else output.maps
    return of_classes(found, resolve(targets, output.logits))
