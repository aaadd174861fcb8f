"""Numbers for a page's own drawings."""

import json
import math

from seedbed.papers.figures import Series
from seedbed.papers.tables import Axis
from seedbed.report.charts import Drawn
from seedbed.report.plots import MOST_POINTS, Bar, Bars, Line, figure_bars, figure_plots


def drawn(shows, means, deviations=None, level=None, named_level=None, **changes):
    settings = {
        "axes": "A",
        "label": "vit",
        "shows": shows,
        "x": Axis(title="layer"),
        "y": Axis(title="mIoU", unit="%"),
    }
    series = Series(**settings | {"metric": "miou", "level": named_level, "sources": ("a",)} | changes)
    return Drawn(series, means, deviations, level)


def test_a_long_line_is_thinned_and_keeps_its_ends():
    plain = Line("loss", tuple((k, float(k)) for k in range(5 * MOST_POINTS + 3)), tuple([0.5] * (5 * MOST_POINTS + 3)))
    points = plain.plain()["points"]
    assert len(points) <= MOST_POINTS + 1
    assert (points[0], points[-1]) == ([0, 0.0], [5 * MOST_POINTS + 2, 5 * MOST_POINTS + 2.0])
    assert len(plain.plain()["spread"]) == len(points)


def test_short_and_undefined_lines_are_plain_values():
    assert Line("a", ((1, 2.0),)).plain()["points"] == [[1, 2.0]]
    text = json.dumps(Line("a", ((1, math.nan), (2, 1.0)), (math.nan, 0.5)).plain(), allow_nan=False)
    assert json.loads(text)["points"] == [[1, None], [2, 1.0]]
    assert Line("a", ()).plain()["points"] == []


def test_curves_of_a_figure_with_what_the_paper_prints():
    printed = {"x": 2, "best": 40.0}
    one = drawn("curve", (10.0, 20.0, 30.0), (1.0, 2.0, 3.0), 15.0, reported=printed, named_level="miou_all_layers")
    (plot,) = figure_plots([one, drawn("bars", (1.0,))], comparable=False)
    assert (plot.title, plot.x, plot.y) == ("A", "layer", "mIoU (%)")
    measured, level, paper = plot.lines
    assert measured.points == ((1, 10.0), (2, 20.0), (3, 30.0))
    assert measured.spread == (1.0, 2.0, 3.0)
    assert (level.label, level.points) == ("vit, all layers", ((1, 15.0), (3, 15.0)))
    assert (paper.points, paper.measured, paper.shown) == (((2, 40.0),), False, False)
    assert figure_plots([one], comparable=True)[0].lines[2].shown


def test_bars_of_a_figure():
    (chart,) = figure_bars([drawn("bars", (10.0,), (2.0,), reported={"IoU": 40.0}), drawn("bars", (math.nan,))])
    assert chart == Bars(
        "A", "mIoU (%)", 1, (Bar("vit", 10.0, 2.0, 40.0), Bar("vit", chart.bars[1].measured, None, None))
    )
    assert chart.largest == 40.0
    assert Bars("", "", 1, (Bar("a", math.nan, None, None),)).largest == 1.0
