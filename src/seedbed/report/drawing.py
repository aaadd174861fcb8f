"""Images for people: heat-map overlays, coloured masks, and grids of both."""

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from seedbed.io.masks import VOID, voc_palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAT_COLOURS = "inferno"


def overlay_heatmap(image: np.ndarray, heat: np.ndarray, colours: str = HEAT_COLOURS) -> np.ndarray:
    """Blend a map [H, W] in 0..1 over an image (uint8 [H, W, 3]) in named colours; undefined values are grey."""
    from matplotlib import colormaps

    undefined = np.isnan(heat)[..., None]
    painted = colormaps[colours](np.clip(np.nan_to_num(heat), 0, 1))[..., :3] * 255
    return (0.35 * image + 0.65 * np.where(undefined, 128, painted)).astype(np.uint8)


def frame_peak(painted: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Frame a map's largest value in red on its painted image, uint8 [H, W, 3]; nothing if the map is undefined."""
    if np.isnan(heat).any():
        return painted
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    half = max(3, max(heat.shape) // 12)
    return frame_boxes(painted, [(x - half, y - half, x + half, y + half)], (255, 0, 0))


def frame_boxes(
    image: np.ndarray, boxes: Sequence[tuple[float, float, float, float]], colour: tuple[int, int, int]
) -> np.ndarray:
    """Draw boxes (x_min, y_min, x_max, y_max), ends inclusive, cut at the borders, on uint8 [H, W, 3]."""
    framed = Image.fromarray(image)
    height, width = image.shape[:2]
    for x0, y0, x1, y1 in boxes:
        corners = [max(0, x0), max(0, y0), min(width - 1, x1), min(height - 1, y1)]
        ImageDraw.Draw(framed).rectangle(corners, outline=colour, width=max(1, max(image.shape[:2]) // 100))
    return np.asarray(framed)


def overlay_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay class colours over a darkened image; void is white."""
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3).copy()
    palette[VOID] = 255
    painted = np.where((mask > 0)[..., None], 0.25 * image + 0.75 * palette[mask], 0.45 * image)
    return painted.astype(np.uint8)


def draw_histogram(values: np.ndarray, size: int = 320) -> np.ndarray:
    """Distribution of values over the largest, uint8 [size, size, 3]; a red line marks the largest.

    Negative and undefined values are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.9, 1.9), dpi=size / 1.9, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axis = figure.subplots()
    shown = values[values >= 0]
    axis.hist(
        shown / max(float(shown.max(initial=0)), 1e-12), bins=40, range=(0, 1), log=len(shown) > 0, color="#44546a"
    )
    axis.axvline(1.0, color="#c0392b", linewidth=1.5)
    axis.set_xlabel("score, of the largest", fontsize=7, labelpad=1)
    axis.set_ylabel("pixels", fontsize=7, labelpad=1)
    axis.tick_params(labelsize=6, pad=1)
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
    scale: str = "",
    colours: Mapping[str, tuple[int, int, int]] = MappingProxyType({}),
    kind: str = "png",
) -> bytes:
    """Return a PNG or a PDF: one row an image, one titled column a kind of image; same images, same bytes.

    Args:
        rows: images, uint8 [h, w, 3]; rows may differ in length.
        titles: of the first row's columns.
        labels: of the rows.
        changed: other titles, by the row above which they stand.
        scale: what the colours of heat maps go from and to; a bar of them stands at the bottom, unless empty.
        colours: what a colour means -> red, green, blue, 0..255; a legend below, unless empty.
        kind: ``png``, or ``pdf`` whose text stays text and whose images keep their pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    width = max(map(len, rows))
    legend_lines = -(-len(colours) // (2 * width))
    height = 1.75 * len(rows) + (1.0 if scale else 0.5) + 0.22 * legend_lines
    figure = Figure(figsize=(1.9 * width + 0.3, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), width, squeeze=False)
    headings = {0: titles, **changed}
    for row, line in enumerate(rows):
        for unused in axes[row][len(line) :]:
            unused.set_axis_off()
        for column, image in enumerate(line):
            axis = axes[row][column]
            axis.imshow(_enlarged(image), interpolation="nearest" if kind == "png" else "none")
            axis.set_xticks([])
            axis.set_yticks([])
            for side in axis.spines.values():
                side.set_visible(False)
            if row in headings:
                axis.set_title(headings[row][column], fontsize=8, wrap=True, parse_math=False)
        axes[row][0].set_ylabel(labels[row], fontsize=7, parse_math=False)
    if scale:
        heat = ScalarMappable(Normalize(0, 1), HEAT_COLOURS)
        bar = figure.colorbar(heat, ax=axes, location="bottom", shrink=0.4, aspect=40, pad=0.02)
        bar.set_label(scale, fontsize=7)
        bar.ax.tick_params(labelsize=6)
    if colours:
        patches = [
            Patch(
                facecolor=(red / 255, green / 255, blue / 255), edgecolor="black", linewidth=0.5, label=as_it_is(name)
            )
            for name, (red, green, blue) in colours.items()
        ]
        figure.legend(handles=patches, loc="outside lower center", ncols=2 * width, fontsize=7, frameon=False)
    return saved(figure, kind)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Small images twice as large, so that a browser shows their pixels and not its blur."""
    factor = max(1, 160 // max(image.shape[:2]))
    return (
        image
        if factor == 1
        else np.asarray(
            Image.fromarray(image).resize((image.shape[1] * factor, image.shape[0] * factor), Image.Resampling.NEAREST)
        )
    )


def saved(figure: "Figure", kind: str) -> bytes:
    """A figure as ``png``, ``svg`` or ``pdf``, without the time and the program that would make bytes differ."""
    import matplotlib

    unstamped: dict[str, dict[str, None]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    buffer = io.BytesIO()
    # Text of a PDF as TrueType, which journals ask for; of an SVG as shapes, which look alike everywhere.
    with matplotlib.rc_context({"svg.hashsalt": "seedbed", "svg.fonttype": "path", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=kind, metadata=unstamped[kind])
    return buffer.getvalue()


def as_it_is(text: str) -> str:
    """Text for a legend, a title or an axis: a dollar sign would start a formula."""
    return text.replace("$", r"\$")
