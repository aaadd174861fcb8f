"""From a figure to the panels and series that draw it, and the seeds of tables and figures."""

import pytest
from test_papers_plan import CHAIN, LAYOUT, PRESET, row, table

from seedbed.errors import ParameterError
from seedbed.papers import table_cells
from seedbed.papers.figures import Series, figure_panels, figure_series, missing_of
from seedbed.papers.tables import Axis, Figure
from seedbed.params import Preset, resolve
from seedbed.plan.describe import figure_notes, footnotes

CURVE = {"shows": "curve", "pipeline": {"stage": "layerwise", "metric": "miou_per_layer"}}
HEATMAPS = "results/small/heatmaps/shapes/train"


def figure(panels, **more):
    base = {"id": "figure1", "title": "T", "caption": "C", "kind": "curve", "status": "reproduced", "pipeline": CHAIN}
    axes = {"x": {"title": "layer"}, "y": {"title": "mIoU", "unit": "%"}}
    return Figure.model_validate({**base, **axes, "panels": panels, **more})


def test_a_curve_names_one_file_a_seed():
    drawn = figure([{"label": "a", **CURVE, "axes": "left", "level": "miou_all_layers", "reported": {"best": 61.0}}])
    panels = figure_panels(drawn, PRESET, LAYOUT)
    assert missing_of(panels) == ()
    assert figure_series(drawn, panels) == [
        Series(
            axes="left",
            label="a",
            shows="curve",
            x=Axis(title="layer"),
            y=Axis(title="mIoU", unit="%"),
            metric="miou_per_layer",
            level="miou_all_layers",
            reported={"best": 61.0},
            sources=tuple(f"{HEATMAPS}/vit/maps/seed{k}/layerwise.json" for k in (3, 5)),
        )
    ]
    assert figure_panels(drawn, PRESET, LAYOUT, [7])[0].sources == (f"{HEATMAPS}/vit/maps/seed7/layerwise.json",)


def test_panels_of_the_same_label_keep_their_own_series():
    panels = [{"label": "a", **CURVE, "axes": axes, "y": {"title": axes}} for axes in ("left", "right")]
    panels[1] = {**panels[1], "pipeline": {**CURVE["pipeline"], "explainer": "swept"}}
    drawn = figure([panels[0], {"label": "other", "status": "cited"}, panels[1]])
    left, right = figure_series(drawn, figure_panels(drawn, PRESET, LAYOUT, [3]))
    assert (left.axes, left.y.title, left.sources) == ("left", "left", (f"{HEATMAPS}/vit/maps/seed3/layerwise.json",))
    assert right.sources == (f"{HEATMAPS}/vit/swept/seed3/layerwise.json",)


POINTS = {"label": "a", "shows": "points", "pipeline": {"stage": "heatmaps", "metric": "miou"}, "at": "depth"}


def deep(**depths):
    """The preset with networks of a given depth."""
    models = {name: {**PRESET.models["vit"].plain(), "options": {"depth": depth}} for name, depth in depths.items()}
    return Preset.model_validate({**PRESET.plain(), "models": {**PRESET.plain()["models"], **models}})


def test_points_are_networks_at_the_place_that_an_option_says():
    drawn, preset = figure([{**POINTS, "models": ["low", "absent", "high"]}]), deep(low=2, high=9)
    panels = figure_panels(drawn, preset, LAYOUT)
    (series,) = figure_series(drawn, panels)
    files = tuple(f"{HEATMAPS}/{name}/maps/seed{k}/heatmaps.json" for name in ("low", "high") for k in (3, 5))
    assert (series.places, series.sources, series.seeds) == ((2, 9), files, 2)
    notes = figure_notes(drawn, panels, preset)
    assert notes[0].startswith("a: shapes train, networks low, high, each trained at its own place, maps maps (")
    assert notes[1:3] == [
        "Points left out: preset 'small' has no model absent.",
        "Mean ± standard deviation over 2 seeds (3, 5).",
    ]


def test_points_that_stand_nowhere_are_refused_and_lacking_ones_named():
    lacking = figure([{**POINTS, "models": ["absent"]}])
    assert missing_of(figure_panels(lacking, PRESET, LAYOUT)) == ("model absent",)
    with pytest.raises(ParameterError, match=r"figure1, panel 'a': models\.vit\.options has no 'depth'\."):
        figure_panels(figure([{**POINTS, "models": ["vit"]}]), PRESET, LAYOUT)
    with pytest.raises(ParameterError, match="points need models"):
        figure_panels(figure([POINTS]), PRESET, LAYOUT)


def test_what_a_figure_lacks_is_named():
    drawn = figure([{"label": "a", **CURVE}, {"label": "b", "shows": "heatmap", "pipeline": {"model": "big"}}])
    assert missing_of(figure_panels(drawn, PRESET, LAYOUT)) == ("model big",)
    with pytest.raises(ParameterError, match=r"figure1, panel 'a': its pipeline lacks metric\."):
        figure_panels(figure([{"label": "a", "shows": "bars", "pipeline": {"stage": "heatmaps"}}]), PRESET, LAYOUT)


@pytest.mark.parametrize(("lacking", "panel"), [("shows", {"shows": None}), ("y", {"shows": "curve"})])
def test_a_panel_says_what_it_shows_and_a_chart_what_it_measures(lacking, panel):
    drawn = figure([{"label": "a", **CURVE, **panel}], y=None)
    with pytest.raises(ParameterError, match=rf"figure1, panel 'a': lacks {lacking}\."):
        figure_panels(drawn, PRESET, LAYOUT)


def test_notes_of_a_figure():
    drawn = figure([{"label": "a", **CURVE, "axes": "left"}, {"label": "b", **CURVE, "axes": "b"}])
    notes = figure_notes(drawn, figure_panels(drawn, PRESET, LAYOUT), PRESET)
    assert notes[0].startswith(
        "left a, b: shapes train, network vit, maps maps (input 96 x 96, scale 1, float32), layer by layer"
    )
    assert notes[1] == "Mean ± standard deviation over 2 seeds (3, 5)."
    panels = [
        {"label": "Image", "shows": "image"},
        {"label": "SIPE", "source": "[4]", "status": "cited"},
        {"label": "by layer", "shows": "heatmap_per_layer", "row": "ours"},
    ]
    gallery = figure(panels, kind="gallery", layers="all")
    assert figure_notes(gallery, figure_panels(gallery, PRESET, LAYOUT), PRESET)[:-1] == [
        "ours by layer: shapes train, network vit, maps maps.",
        "Layers are counted from 1; of more than six, six at equal distances are shown.",
        "Left out, since they are other people's images: SIPE [4].",
        "Seed 3.",
        "Networks compute in float32.",
    ]


def test_a_table_may_have_seeds_of_its_own():
    preset = PRESET.model_copy(update={"table_seeds": {"one_table1": [7, 8, 9]}})
    assert preset.seeds_for("one_table1") == [7, 8, 9]
    assert preset.seeds_for("one_table2") == [3, 5]
    given = table([row(), row("fixed", pipeline={"model": "fixed"})])
    cells = table_cells(given, preset, LAYOUT, preset.seeds_for("one_table1"))
    assert cells[0].sources == tuple(f"{HEATMAPS}/vit/maps/seed{k}/heatmaps.json" for k in (7, 8, 9))
    assert cells[1].sources == (f"{HEATMAPS}/fixed/maps/seed7/heatmaps.json",)
    notes = footnotes(given, cells, preset, [7, 8, 9])
    assert "Mean ± standard deviation over 3 seeds (7, 8, 9)." in notes
    notes = footnotes(given, cells[1:], preset, [7, 8, 9])
    assert "One seed (7); set `seeds` to see the spread." in notes


def test_seeds_of_unknown_tables_are_refused():
    preset = PRESET.model_copy(update={"table_seeds": {"one_tabel1": [7]}})
    with pytest.raises(ParameterError, match=r"small\.table_seeds\.one_tabel1: .*Did you mean 'one_table1'"):
        preset.check_targets(["one_table1", "one_figure2"])
    PRESET.check_targets([])


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ({}, [1, 2]),
        ({"seeds": [0]}, [0]),
        ({"seeds": [0], "table_seeds": {"one_table1": [4]}}, [4]),
        ({"table_seeds": {"one_table1": [4]}}, [4]),
    ],
)
def test_seeds_on_the_command_line_hold_for_every_table(given, seeds):
    values = {key: value for key, value in PRESET.plain().items() if key != "name"}
    presets = {"small": {**values, "table_seeds": {"one_table1": [1, 2]}}}
    assert resolve({"preset": "small", "presets": presets, **given}).seeds_for("one_table1") == seeds


@pytest.mark.parametrize(("seeds", "problem"), [([1, 1], "listed twice"), ([], "no seed is listed")])
def test_seeds_that_make_no_sense(seeds, problem):
    values = {key: value for key, value in PRESET.plain().items() if key != "name"}
    presets = {"small": {**values, "table_seeds": {"one_table1": seeds}}}
    with pytest.raises(ParameterError, match=problem):
        resolve({"preset": "small", "presets": presets})
