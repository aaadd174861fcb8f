"""Curves of a table: training histories and mIoU over background thresholds, to hover on a page and as SVG."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedbed.report.plots import Line, Plot

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
    with Path(path).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in (rows[0] if rows else ()) if name not in ("step", "epoch")]
    return {name: [(float(row["step"]), float(row[name])) for row in rows if row[name]] for name in names}


def table_plots(histories: Mapping[str, str], metrics: Mapping[str, Mapping[str, Any]]) -> list[Plot]:
    """Plots of a table: the loss of each network, and mIoU over the background threshold where it was swept.

    Args:
        histories: network -> path of its training history.
        metrics: metrics file, ``.../<model>/<explainer>/seed<k>/heatmaps.json`` -> its content.
    """
    losses = {network: read_history_columns(path)["loss"] for network, path in histories.items()}
    plots = [
        Plot(f"Training of {network}", "step", "loss", (Line(network, tuple(loss)),))
        for network, loss in losses.items()
    ]
    swept = {
        ", ".join(Path(path).parts[-4:-1]): tuple(zip(content["curve_background"], content["curve_miou"], strict=True))
        for path, content in metrics.items()
        if "curve_miou" in content
    }
    if swept:
        lines = tuple(Line(label, points) for label, points in swept.items())
        plots.append(Plot("mIoU over the background threshold", "background threshold", "mIoU", lines))
    return plots


def table_curves(histories: Mapping[str, str], metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The same as SVGs; arguments as `table_plots` takes them."""
    return [draw_plot(plot) for plot in table_plots(histories, metrics)]


def draw_plot(plot: Plot) -> str:
    """A plot's lines as SVG."""
    lines = {line.label: ([x for x, _ in line.points], [y for _, y in line.points]) for line in plot.lines}
    return draw_curves(lines, plot.x, plot.y)
