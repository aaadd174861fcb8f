"""Curves as SVG text."""

from xml.etree import ElementTree

import pytest

from seedbed.report.curves import draw_curves, read_history_columns, table_curves

HISTORY = "step,epoch,lr,loss,part\n10,0.5,0.1,2.5,\n20,1,0.05,1.25,0.75\n"


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_drawing_is_one_svg_and_names_its_lines_and_axes():
    svg = draw_curves({"first": ([0, 1, 2], [3, 2, 1]), "second": ([0, 1], [1, 1])}, "step", "loss")
    assert svg.startswith("<svg")
    assert {"first", "second", "step", "loss"} <= set(texts(svg))


def test_the_same_numbers_give_the_same_text():
    curve = {"a": ([0, 1, 2], [3, 2, 1])}
    assert draw_curves(curve, "x", "y") == draw_curves(curve, "x", "y")
    assert draw_curves(curve, "x", "y") != draw_curves({"a": ([0, 1, 2], [3, 2, 0])}, "x", "y")


def test_names_of_lines_are_escaped():
    svg = draw_curves({"<script>x</script>": ([0, 1], [1, 2])}, "x", "y")
    assert "<script" not in svg
    assert "<script>x</script>" in texts(svg)


def test_columns_of_a_history(tmp_path):
    (tmp_path / "history.csv").write_text(HISTORY)
    assert read_history_columns(tmp_path / "history.csv") == {
        "lr": [(10, 0.1), (20, 0.05)],
        "loss": [(10, 2.5), (20, 1.25)],
        "part": [(20, 0.75)],
    }
    (tmp_path / "empty.csv").write_text("step,loss\n")
    assert read_history_columns(tmp_path / "empty.csv") == {}


def test_curves_of_a_table(tmp_path):
    """One drawing a network; swept thresholds of every network, explainer and seed share one."""
    (tmp_path / "history.csv").write_text(HISTORY)
    sweep = {"curve_background": [0.0, 0.1], "curve_miou": [0.2, 0.3]}
    metrics = {f"r/heatmaps/d/train/{m}/maps/seed{k}/heatmaps.json": sweep for m in ("vit", "cnn") for k in (0, 1)}
    metrics["r/masks/d/train/vit/maps/crf/seed0/metrics.json"] = {"miou": 0.5}
    loss, swept = table_curves({"vit": str(tmp_path / "history.csv")}, metrics)
    assert {"vit", "step", "loss"} <= set(texts(loss))
    names = {f"{m}, maps, seed{k}" for m in ("vit", "cnn") for k in (0, 1)}
    assert names | {"background threshold", "mIoU"} <= set(texts(swept))
    assert table_curves({}, {}) == []


@pytest.mark.parametrize("values", [[float("nan"), 1.0], [1.0, 1.0]])
def test_gaps_and_flat_lines_are_drawn(values):
    assert draw_curves({"a": ([0, 1], values)}, "x", "y").startswith("<svg")
