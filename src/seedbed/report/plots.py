"""What a page draws itself from numbers: lines to hover, and bars, as plain values for its script and templates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seedbed.report.charts import Drawn, level_words

MOST_POINTS = 1000
"""Points of one line; of a longer one, points at equal distances and the last."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        label: its name.
        points: (x, y), y NaN where undefined; one point alone is drawn as a mark.
        spread: standard deviation at each point, or None.
        measured: whether it was measured here; what a paper prints is dashed.
        shown: whether it is drawn before somebody asks for it.
    """

    label: str
    points: Sequence[Point]
    spread: Sequence[float] | None = None
    measured: bool = True
    shown: bool = True

    def plain(self) -> dict[str, Any]:
        """Values that JSON knows."""
        last = len(self.points) - 1
        kept = [k for k in range(last + 1) if k % -(-len(self.points) // MOST_POINTS) == 0 or k == last]
        spread = None if self.spread is None else [_finite(self.spread[k]) for k in kept]
        points = [[self.points[k][0], _finite(self.points[k][1])] for k in kept]
        return {**vars(self), "points": points, "spread": spread}


@dataclass(frozen=True)
class Plot:
    """Lines over one x axis."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]

    def plain(self) -> dict[str, Any]:
        """Values that JSON knows."""
        return {**vars(self), "lines": [line.plain() for line in self.lines]}


@dataclass(frozen=True)
class Bar:
    """A measured number (NaN: undefined), its standard deviation over seeds or None, and the paper's or None."""

    label: str
    measured: float
    spread: float | None
    paper: float | None


@dataclass(frozen=True)
class Bars:
    """Bars of one quantity, from 0 to ``largest``."""

    title: str
    quantity: str
    decimals: int
    bars: tuple[Bar, ...]

    @property
    def largest(self) -> float:
        """The largest number that is drawn; 1 where all are 0 or undefined."""
        ends = [n for bar in self.bars for n in (bar.measured + (bar.spread or 0), bar.paper) if n is not None]
        return max((n for n in ends if not math.isnan(n)), default=0.0) or 1.0


def figure_plots(drawn: Sequence[Drawn], *, comparable: bool) -> list[Plot]:
    """Plots of a figure's curves, one for each of its axes.

    Args:
        drawn: its series; bars are left out.
        comparable: whether numbers may be compared with the paper's: else those are drawn only on demand.
    """
    found = []
    for title, own in _by_axes(drawn, "curve", "points").items():
        y = own[0].series.y
        lines = tuple(line for one in own for line in _lines(one, comparable))
        found.append(Plot(title, own[0].series.x.title, f"{y.title} (%)" if y.unit == "%" else y.title, lines))
    return found


def figure_bars(drawn: Sequence[Drawn]) -> list[Bars]:
    """Bars of a figure, one list for each of its axes; curves are left out."""
    found = []
    for title, own in _by_axes(drawn, "bars").items():
        y = own[0].series.y
        bars = tuple(
            Bar(
                one.series.label,
                one.means[0],
                one.deviations[0] if one.deviations else None,
                next(iter(one.series.reported.values()), None),
            )
            for one in own
        )
        percent = y.unit == "%"
        found.append(Bars(title, f"{y.title} (%)" if percent else y.title, 1 if percent else 3, bars))
    return found


def _lines(one: Drawn, comparable: bool) -> list[Line]:
    series = one.series
    xs = one.xs
    found = [Line(series.label, tuple(zip(xs, one.means, strict=True)), one.deviations)]
    if one.level is not None:
        label = f"{series.label}, {level_words(series.level or '')}"
        found.append(Line(label, ((xs[0], one.level), (xs[-1], one.level))))
    place = series.reported.get("x")
    for name, value in series.reported.items():
        if name != "x":
            points = ((xs[0], value), (xs[-1], value)) if place is None else ((place, value),)
            found.append(Line(f"{series.label}, paper's {name}", points, measured=False, shown=comparable))
    return found


def _by_axes(drawn: Sequence[Drawn], *shows: str) -> dict[str, list[Drawn]]:
    found: dict[str, list[Drawn]] = {}
    for one in drawn:
        if one.series.shows in shows:
            found.setdefault(one.series.axes, []).append(one)
    return found


def _finite(number: float) -> float | None:
    return None if math.isnan(number) else number
