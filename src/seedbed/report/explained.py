"""A page for one image: a row for each of its top classes, a column for each method."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from seedbed.explain.one_image import Explained
from seedbed.report.drawing import HEAT_COLOURS, draw_grid, overlay_heatmap

SCALE = "each map from its own least to its own largest value; grey: undefined (0/0)"
SIGNED_SCALE = f"{SCALE}; blue to red: signed, below and above 0"
SIGNED_COLOURS = "coolwarm"


def draw_explained(image: np.ndarray, explained: Explained, names: Sequence[str]) -> bytes:
    """Return a PNG.

    Args:
        image: uint8 [H, W, 3].
        explained: its maps.
        names: name of every class.
    """
    height, width = next(iter(explained.maps.values())).shape[1:]
    if (height, width) != image.shape[:2]:
        image = np.asarray(Image.fromarray(image).resize((width, height)))
    colours = {name: SIGNED_COLOURS if name in explained.signed else HEAT_COLOURS for name in explained.maps}
    scale = SIGNED_SCALE if explained.signed else SCALE
    rows = [
        [image, *(overlay_heatmap(image, maps[position], colours[name]) for name, maps in explained.maps.items())]
        for position in range(len(explained.classes))
    ]
    labels = [
        f"{names[label]}\n{probability:.1%}"
        for label, probability in zip(explained.classes, explained.probabilities, strict=True)
    ]
    return draw_grid(rows, ["image", *(name.replace("_", " ") for name in explained.maps)], labels, scale=scale)
