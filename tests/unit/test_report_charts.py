"""Bars and curves: the numbers that are drawn, and the drawing of them."""

import csv
import io
import math
import statistics
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from seedbed.errors import UserError
from seedbed.papers.figures import Series
from seedbed.papers.tables import Axis
from seedbed.report.charts import _visible, chart_rows, draw_chart, read_series, to_csv

LAYER, MIOU, DISTANCE = Axis(title="layer"), Axis(title="mIoU", unit="%"), Axis(title="H $x$")
FILES = {
    "0.json": {"miou": 0.5, "per_layer": [0.25, 0.5, 0.75], "miou_all": 0.6},
    "1.json": {"miou": 0.7, "per_layer": [0.35, 0.5, None], "miou_all": 0.8},
}


def bar(label="ours", **more):
    values = {"shows": "bars", "axes": "(a)", "metric": "miou", "sources": ("0.json", "1.json"), **more}
    return Series(label=label, x=LAYER, y=MIOU, **values)


def curve(label="ours", y=DISTANCE, **more):
    values = {"axes": "(b)", "metric": "per_layer", "sources": ("0.json",), **more}
    return Series(label=label, shows="curve", x=LAYER, y=y, **values)


def filled(*series, files=FILES):
    return read_series(series, files.__getitem__)


def test_numbers_are_means_over_seeds_in_the_axis_unit():
    both = curve(y=MIOU, sources=("0.json", "1.json"), level="miou_all")
    one, two, three = filled(bar(), curve(level="miou_all"), both)
    assert one.means == pytest.approx((60,))
    assert one.deviations == pytest.approx((statistics.stdev([50, 70]),))
    assert (two.means, two.deviations, two.level) == ((0.25, 0.5, 0.75), None, 0.6)
    assert three.means[:2] == pytest.approx((30, 50))
    assert math.isnan(three.means[2])
    assert three.level == pytest.approx(70)


def test_points_stand_at_their_places_with_the_spread_of_their_seeds():
    files = {name: {"miou": value} for name, value in zip("abcd", (0.5, 0.7, 0.2, 0.4), strict=True)}
    points = bar(shows="points", sources=tuple("abcd"), places=(1.0, 6.0))
    (one,) = filled(points, files=files)
    assert (one.xs, points.seeds) == ((1, 6), 2)
    assert one.means == pytest.approx((60, 30))
    assert one.deviations == pytest.approx((statistics.stdev([50, 70]), statistics.stdev([20, 40])))
    assert [(row["x"], row["value"], row["seeds"]) for row in chart_rows([one])] == [("1", "60", "2"), ("6", "30", "2")]
    assert Series.from_plain(points.plain()) == points
    moved = filled(bar(shows="points", sources=tuple("abcd"), places=(1.0, 5.0)), files=files)
    assert draw_chart([one], "svg") != draw_chart(moved, "svg")
    with pytest.raises(UserError, match=r"a: 'miou' is \[1\], but one number is drawn"):
        filled(points, files={**files, "a": {"miou": [1]}})


def test_rows_name_every_number_drawn():
    lines, marked = curve(level="miou_all", reported={"best": 0.9}), curve(reported={"x": 3, "top": 1})
    drawn = filled(bar(reported={"miou": 61.5}), lines, marked)
    rows = list(csv.DictReader(io.StringIO(to_csv(chart_rows(drawn)))))
    assert rows[0] == {
        "axes": "(a)", "label": "ours", "quantity": "mIoU", "unit": "%", "x": "", "what": "measured",
        "value": "60", "std": "14.1421", "seeds": "2",
    }  # fmt: skip
    found = [(row["x"], row["what"], row["value"]) for row in rows[1:]]
    assert found == [
        ("", "paper", "61.5"),
        ("1", "measured", "0.25"), ("2", "measured", "0.5"), ("3", "measured", "0.75"),
        ("", "measured, all", "0.6"), ("", "paper, best", "0.9"),
        ("1", "measured", "0.25"), ("2", "measured", "0.5"), ("3", "measured", "0.75"), ("3", "paper, top", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("series", "files", "problem"),
    [
        (bar(metric="iou"), FILES, "0.json: has no metric 'iou'; it has miou, miou_all, per_layer"),
        (bar(metric="per_layer"), FILES, r"0.json: 'per_layer' is \[0.25, 0.5, 0.75\], but one number is drawn"),
        (curve(metric="miou"), FILES, "0.json: 'miou' is 0.5, but a list is drawn"),
        (curve(sources=("0.json", "1.json")), {**FILES, "1.json": {"per_layer": [1]}}, "another length in each"),
    ],
)
def test_files_that_do_not_fit(series, files, problem):
    with pytest.raises(UserError, match=problem):
        filled(series, files=files)


def every_kind():
    seeds = {"sources": ("0.json", "1.json")}
    return filled(
        bar(reported={"miou": 61.5}),
        bar("theirs, $cut$", sources=("0.json",)),
        curve("<a> & $b$", level="miou_all", **seeds),
        curve("c", reported={"best": 0.9, "agg.": 0.8}),
        curve("d", axes="(c)", reported={"x": 2, "best": 0.9}),
    )


def test_a_drawing_is_the_same_each_time_and_shows_every_axis():
    drawn = every_kind()
    svg = draw_chart(drawn, "svg").decode()
    assert svg == draw_chart(drawn, "svg").decode()
    groups = [g.get("id", "") for g in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")]
    assert sum(name.startswith("axes_") for name in groups) == 3
    pdf = draw_chart(drawn, "pdf")
    assert pdf.startswith(b"%PDF") and pdf == draw_chart(drawn, "pdf")
    assert b"/FontFile2" in pdf and b"/CreationDate" not in pdf  # TrueType, as journals ask
    png = draw_chart(drawn, "png")
    assert png == draw_chart(drawn, "png")
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert picture.shape[1] > 2.5 * picture.shape[0]
    assert picture.std() > 10


def test_a_number_changes_the_drawing():
    changed = {**FILES, "0.json": {**FILES["0.json"], "per_layer": [0.25, 0.5, 0.7]}}
    assert draw_chart(filled(curve()), "png") != draw_chart(filled(curve(), files=changed), "png")
    assert draw_chart(filled(curve()), "png") != draw_chart(filled(curve(reported={"best": 0.6})), "png")


def test_series_survive_plain_values():
    series = curve(reported={"x": 3, "best": 71.2}, level="miou_all")
    assert Series.from_plain(series.plain()) == series


def test_a_far_number_of_the_paper_does_not_flatten_the_curve():
    """Measured from 0.25 to 0.75: up to 1.75 is drawn, what is above stands in the legend alone."""
    (one,) = filled(curve(level="miou_all"))
    assert _visible([one]) == pytest.approx((0.25 - 1, 0.75 + 1))
    (flat,) = filled(curve(), files={"0.json": {"per_layer": [0.5, 0.5]}})
    assert _visible([flat]) == pytest.approx((0.48, 0.52))
    pictures = [draw_chart(filled(curve(reported={"best": value})), "png") for value in (1.7, 71.2)]
    assert pictures[0] != pictures[1]
    (none,) = filled(curve(), files={"0.json": {"per_layer": [None]}})
    assert _visible([none]) == pytest.approx((-2, 3))
