"""Curves as SVG: training histories and mIoU over background thresholds."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Curve = tuple[Sequence[float], Sequence[float]]


def draw_curves(curves: Mapping[str, Curve], x_title: str, y_title: str) -> str:
    """Return an SVG with one labelled line a curve; the same numbers give the same text."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "seedbed", "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.4, 2.9), layout="constrained")
        FigureCanvasSVG(figure)
        axis = figure.subplots()
        for label, (x, y) in curves.items():
            axis.plot(x, y, label=label, linewidth=1.3)
        axis.set_xlabel(x_title, fontsize=8)
        axis.set_ylabel(y_title, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def read_history_columns(path: str | Path) -> dict[str, list[tuple[float, float]]]:
    """Every numeric column of a training history as (step, value) pairs."""
    with Path(path).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in (rows[0] if rows else ()) if name not in ("step", "epoch")]
    return {name: [(float(row["step"]), float(row[name])) for row in rows if row[name]] for name in names}


def table_curves(histories: Mapping[str, str], metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """SVGs for a table's page: the loss of each network, and mIoU over the background threshold where it was swept.

    Args:
        histories: network -> path of its training history.
        metrics: metrics file, ``.../<model>/<explainer>/seed<k>/heatmaps.json`` -> its content.
    """
    drawings = []
    for network, path in histories.items():
        steps, losses = zip(*read_history_columns(path)["loss"], strict=True)
        drawings.append(draw_curves({network: (steps, losses)}, "step", "loss"))
    swept = {
        ", ".join(Path(path).parts[-4:-1]): (content["curve_background"], content["curve_miou"])
        for path, content in metrics.items()
        if "curve_miou" in content
    }
    if swept:
        drawings.append(draw_curves(swept, "background threshold", "mIoU"))
    return drawings
