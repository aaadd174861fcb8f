"""WeakTr's class maps: the attention of the heads that its fusion trusts, times the patch head's maps, refined."""

from typing import Literal

from torch import Tensor, nn

from seedbed.explain.evaluated import evaluated
from seedbed.explain.method_registry import explainer
from seedbed.explain.targets import of_classes, resolve
from seedbed.models.weaktr import WeakTr, refined


def not_a_weaktr(model: nn.Module) -> str | None:
    """Say why ``model`` has no fusion of attention heads; None if it has."""
    return None if isinstance(model, WeakTr) else "it is not WeakTr's classifier"


@explainer(
    "weaktr", needs=not_a_weaktr, description="WeakTr: fused class attention times the patch head's maps, refined"
)
def weaktr(
    model: WeakTr,
    images: Tensor,
    targets: Tensor | None,
    *,
    maps: Literal["fused", "patch", "cross"] = "fused",
    refine: bool = True,
) -> Tensor:
    """Return [B, K, h, w], >= 0.

    Args:
        model: WeakTr's classifier.
        images: [B, 3, H, W].
        targets: int64 [B, K], or None for the predicted class.
        maps: the ``fused`` class attention times the ``patch`` head's maps without their negative part, or one of both
            factors alone (``cross``: the attention).
        refine: let the fused patch-to-patch attention refine the map once.
    """
    output = evaluated(model, hooks=True)(images)
    found = {"fused": output.coarse_maps, "patch": output.patch_maps.relu(), "cross": output.cross_maps}[maps]
    found = refined(found, output.patch_attention) if refine else found
    return of_classes(found, resolve(targets, output.logits))
