"""Heat maps from a classifier trained on image-level labels: one file per method family, one registry.

``explain`` is the one call; ``methods()`` lists what it can do and ``supports(model, method)`` what it can do for a
model.
"""

from seedbed.explain import (  # noqa: F401  importing a method registers it
    attention_cams,
    attention_guided_cam,
    attention_sum,
    attnlrp,
    cam,
    exvit,
    generic_attribution,
    gradcam,
    legrad,
    lrp,
    rollout,
    transformer_attribution,
)
from seedbed.explain.call import explain
from seedbed.explain.heatmaps import count_undefined, min_max, upsample
from seedbed.explain.registry import Method, explainer, methods, supports

__all__ = [
    "Method",
    "count_undefined",
    "explain",
    "explainer",
    "methods",
    "min_max",
    "supports",
    "upsample",
]
