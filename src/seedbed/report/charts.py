"""Figures drawn from numbers: bars and curves of our own beside what the paper prints, and the numbers as CSV."""

import csv
import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed.errors import UserError
from seedbed.papers.figures import Series
from seedbed.report.drawing import as_it_is, saved

# Colours that stay apart for colour-blind readers (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_STYLES = (":", (0, (5, 1, 1, 1)), (0, (1, 3)))
_INK = "#333333"


@dataclass(frozen=True)
class Drawn:
    """A series with its numbers, in the unit of its y axis.

    Attributes:
        series: what is drawn.
        means: its numbers, one for a bar; NaN where undefined.
        deviations: sample standard deviations over seeds, or None where there is one seed.
        level: mean of the number that is drawn across, or None.
    """

    series: Series
    means: tuple[float, ...]
    deviations: tuple[float, ...] | None
    level: float | None

    @property
    def xs(self) -> tuple[float, ...]:
        """Where its numbers stand: points at their places, a curve's from 1 on."""
        return self.series.places or tuple(range(1, len(self.means) + 1))


def read_series(series: Sequence[Series], read: Callable[[str], Mapping[str, Any]]) -> list[Drawn]:
    """Fill series from their metrics files, which ``read`` reads.

    Raises:
        UserError: a file lacks the key that is drawn, or has a list where a number is drawn, or seeds differ in length.
    """
    return [_filled(one, read) for one in series]


def draw_chart(drawn: Sequence[Drawn], kind: str) -> bytes:
    """Return a ``png``, ``svg`` or ``pdf``: axes side by side, each with its legend; same numbers, same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = list(dict.fromkeys(one.series.axes for one in drawn))
    figure = Figure(figsize=(4.4 * len(titles) + 0.2, 3.9), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        own = [one for one in drawn if one.series.axes == title]
        (_draw_bars if own[0].series.shows == "bars" else _draw_curves)(axes, own)
        axes.set_title(as_it_is(title), fontsize=10)
        axes.set_ylabel(_titled(own[0]), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25, axis="y")
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return saved(figure, kind)


def chart_rows(drawn: Sequence[Drawn]) -> list[dict[str, str]]:
    """Every drawn number, one a row: axes, label, quantity, unit, x, what it is, value, std, seeds."""
    rows = []
    for one in drawn:
        series = one.series
        head = {"axes": series.axes, "label": series.label, "quantity": series.y.title, "unit": series.y.unit}
        deviations = one.deviations or [None] * len(one.means)
        for place, mean, deviation in zip(one.xs, one.means, deviations, strict=True):
            x = "" if series.shows == "bars" else f"{place:g}"
            rows.append({**head, "x": x, "what": "measured", **_numbers(mean, deviation), "seeds": _count(series)})
        if one.level is not None:
            what = f"measured, {level_words(series.level or '')}"
            rows.append({**head, "x": "", "what": what, **_numbers(one.level), "seeds": _count(series)})
        x = f"{series.reported['x']:g}" if "x" in series.reported else ""
        for name, value in series.reported.items():
            if name != "x":
                what = "paper" if series.shows == "bars" else f"paper, {name}"
                rows.append({**head, "x": x, "what": what, **_numbers(value), "seeds": ""})
    return rows


def to_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows of `chart_rows` as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _filled(series: Series, read: Callable[[str], Mapping[str, Any]]) -> Drawn:
    scale = 100.0 if series.y.unit == "%" else 1.0
    found = [_list(read(path), series.metric, series.shows, path) for path in series.sources]
    seeds = found
    if series.places:  # one number a file: those of each seed stand at equal distances
        seeds = [[number for (number,) in found[seed :: series.seeds]] for seed in range(series.seeds)]
    if len({len(one) for one in seeds}) > 1:
        raise UserError(f"{', '.join(series.sources)}: '{series.metric}' has another length in each. Remake them.")
    points = [[scale * number for number in point] for point in zip(*seeds, strict=True)]
    deviations = tuple(map(_deviation, points)) if len(seeds) > 1 else None
    level = None
    if series.level is not None:
        level = statistics.fmean(scale * _list(read(path), series.level, "bars", path)[0] for path in series.sources)
    return Drawn(series, tuple(map(statistics.fmean, points)), deviations, level)


def _list(metrics: Mapping[str, Any], key: str, shows: str, path: str) -> list[float]:
    if key not in metrics:
        raise UserError(f"{path}: has no metric '{key}'; it has {', '.join(sorted(metrics))}.")
    value = metrics[key]
    if isinstance(value, list) != (shows == "curve"):
        wanted = "a list" if shows == "curve" else "one number"
        raise UserError(f"{path}: '{key}' is {value!r}, but {wanted} is drawn.")
    numbers = value if isinstance(value, list) else [value]
    return [math.nan if number is None else float(number) for number in numbers]


def _deviation(numbers: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, numbers)) else statistics.stdev(numbers)


def _draw_bars(axes: Any, drawn: Sequence[Drawn]) -> None:
    places = range(len(drawn))
    spread = [one.deviations[0] if one.deviations else 0 for one in drawn]
    error = {"yerr": spread, "capsize": 3, "ecolor": _INK} if any(spread) else {}
    measured = axes.bar(
        [k - 0.2 for k in places], [one.means[0] for one in drawn], 0.38, color=_COLOURS[0], label="measured", **error
    )
    axes.bar_label(measured, [_shown(one.means[0], one.series) for one in drawn], fontsize=8, padding=2)
    printed = [(k + 0.2, value) for k, one in enumerate(drawn) for value in one.series.reported.values()]
    if printed:
        hollow = {"color": "none", "edgecolor": _INK, "linestyle": "--", "label": "paper"}
        paper = axes.bar([x for x, _ in printed], [value for _, value in printed], 0.38, **hollow)
        axes.bar_label(paper, [_shown(value, drawn[0].series) for _, value in printed], fontsize=8, padding=2)
    axes.set_xticks(list(places), [as_it_is(one.series.label.replace(", ", "\n")) for one in drawn])
    axes.margins(y=0.12)


def _draw_curves(axes: Any, drawn: Sequence[Drawn]) -> None:
    low, high = _visible(drawn)
    for one, colour in zip(drawn, _COLOURS * len(drawn), strict=False):
        series, x = one.series, one.xs
        look: dict[str, Any] = {"color": colour, "label": as_it_is(series.label)}
        if series.places:
            axes.errorbar(x, one.means, yerr=one.deviations, fmt="D", markersize=5, capsize=3, **look)
            if len(series.places) == 1:  # there may be more of these than colours
                axes.annotate(
                    as_it_is(series.label), (x[0], one.means[0]), (4, 4), textcoords="offset points", fontsize=6
                )
        else:
            axes.plot(x, one.means, "o-", linewidth=1.5, markersize=4, **look)
        if one.deviations and not series.places:
            axes.fill_between(x, *_band(one), color=colour, alpha=0.18, linewidth=0)
        if one.level is not None:
            named = f"{series.label}, {level_words(series.level or '')}: {_shown(one.level, series)}"
            axes.axhline(one.level, color=colour, linestyle="--", linewidth=1.1, label=as_it_is(named))
        place = series.reported.get("x")
        printed = {name: value for name, value in series.reported.items() if name != "x"}
        for (name, value), style in zip(printed.items(), _STYLES * len(printed), strict=False):
            inside = low <= value <= high
            named = f"{series.label}, paper's {name}: {_shown(value, series)}"
            named += f" at {series.x.title} = {place:g}" if place is not None else ""
            named += "" if inside else " (off scale)"
            line = {"color": colour, "linestyle": style, "linewidth": 1.1, "alpha": 0.7, "label": as_it_is(named)}
            mark = {"color": _INK, "linestyle": "none", "marker": "*", "markersize": 10, "label": as_it_is(named)}
            if not inside:
                axes.plot([], [], **(line if place is None else mark))  # in the legend alone
            elif place is None:
                axes.axhline(value, **line)
            else:
                axes.plot([place], [value], **mark)
    axes.set_xlabel(as_it_is(drawn[0].series.x.title), fontsize=9)
    whole = all(float(x).is_integer() for one in drawn for x in one.xs)
    axes.xaxis.get_major_locator().set_params(integer=whole)


def _visible(drawn: Sequence[Drawn]) -> tuple[float, float]:
    """Where a number of the paper may lie without flattening the measured curves: up to twice their height away."""
    edges = [number for one in drawn for side in _band(one) for number in side if not math.isnan(number)]
    levels = [one.level for one in drawn if one.level is not None and not math.isnan(one.level)]
    low, high = min([*edges, *levels], default=0.0), max([*edges, *levels], default=1.0)
    reach = 2 * max(high - low, 0.02 * abs(high))
    return low - reach, high + reach


def _band(one: Drawn) -> tuple[list[float], list[float]]:
    """Means less and plus their deviations."""
    deviations = one.deviations or (0.0,) * len(one.means)
    below, above = ([m + sign * d for m, d in zip(one.means, deviations, strict=True)] for sign in (-1, 1))
    return below, above


def _titled(drawn: Drawn) -> str:
    y = drawn.series.y
    return as_it_is(f"{y.title} (%)" if y.unit == "%" else y.title)


def _shown(value: float, series: Series) -> str:
    return f"{value:.1f}" if series.y.unit == "%" else f"{value:.3f}"


def level_words(metric: str) -> str:
    """``miou_all_layers`` as words, without the quantity that the axis names."""
    return metric.split("_", 1)[-1].replace("_", " ")


def _numbers(value: float, deviation: float | None = None) -> dict[str, str]:
    return {"value": f"{value:.6g}", "std": "" if deviation is None else f"{deviation:.6g}"}


def _count(series: Series) -> str:
    return str(series.seeds)
