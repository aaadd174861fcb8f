"""Heat maps from a classifier trained on image-level labels: one file per method family, one registry.

``explain`` is the one call; ``methods()`` lists what it can do and ``supports(model, method)`` what it can do for a
model.
"""

from seedbed.explain.call import explain
from seedbed.explain.map_scaling import count_undefined, min_max, upsample
from seedbed.explain.method_registry import Method, explainer, methods, supports
from seedbed.io.catalogue import import_registered

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

import_registered(__name__, "explainer")
