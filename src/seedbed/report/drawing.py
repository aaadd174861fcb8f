"""Pictures for people: heat-map overlays, coloured masks, and grids of both."""

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PIL import Image

from seedbed.io.masks import VOID, voc_palette


def overlay_heatmap(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend a map [H, W] in 0..1 over a picture (uint8 [H, W, 3]); undefined values stay grey."""
    from matplotlib import colormaps

    colours = colormaps["inferno"](np.clip(np.nan_to_num(heat), 0, 1))[..., :3] * 255
    return (0.35 * picture + 0.65 * colours).astype(np.uint8)


def overlay_mask(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay class colours over a darkened picture; void is white."""
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3).copy()
    palette[VOID] = 255
    painted = np.where((mask > 0)[..., None], 0.25 * picture + 0.75 * palette[mask], 0.45 * picture)
    return painted.astype(np.uint8)


def draw_histogram(values: np.ndarray, size: int = 160) -> np.ndarray:
    """Distribution of values as a small picture, uint8 [size, size, 3]; a red line marks the largest value."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size / 80, size / 80), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.hist(values, bins=40, log=True, color="#44546a")
    axis.axvline(float(values.max()), color="#c0392b", linewidth=1.2)
    axis.tick_params(labelsize=5)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_matrix(matrix: np.ndarray) -> np.ndarray:
    """Values >= 0 [N, M] as colours, uint8 [N, M, 3]: darkest at 0, brightest from the 99th percentile on."""
    from matplotlib import colormaps

    brightest = max(float(np.quantile(matrix, 0.99)), 1e-12)
    return (colormaps["viridis"](np.clip(matrix / brightest, 0, 1))[..., :3] * 255).astype(np.uint8)


def draw_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    labels: Sequence[str],
    changed: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> bytes:
    """Return a PNG: one row a picture, one titled column a kind of image.

    Args:
        rows: images, uint8 [h, w, 3]; rows may differ in length.
        titles: of the first row's columns.
        labels: of the rows.
        changed: other titles, by the row above which they stand.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 1.75 * len(rows) + 0.5
    width = max(map(len, rows))
    figure = Figure(figsize=(1.9 * width + 0.3, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), width, squeeze=False)
    headings = {0: titles, **changed}
    for row, line in enumerate(rows):
        for unused in axes[row][len(line) :]:
            unused.set_axis_off()
        for column, image in enumerate(line):
            axis = axes[row][column]
            axis.imshow(_enlarged(image), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            for side in axis.spines.values():
                side.set_visible(False)
            if row in headings:
                axis.set_title(headings[row][column], fontsize=8, wrap=True)
        axes[row][0].set_ylabel(labels[row], fontsize=7)
    return _png(figure)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Small pictures twice as large, so that a browser shows their pixels and not its blur."""
    factor = max(1, 160 // max(image.shape[:2]))
    return (
        image
        if factor == 1
        else np.asarray(
            Image.fromarray(image).resize((image.shape[1] * factor, image.shape[0] * factor), Image.Resampling.NEAREST)
        )
    )


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
