"""Hours of training in tables and figures: forecasts, told apart from what is measured."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from seedbed.data.raw.sources import load_sources
from seedbed.papers import Layout, read_papers
from seedbed.papers.plan import Cell, measurement_of
from seedbed.papers.tables import Table
from seedbed.params import read_params, resolve
from seedbed.plan import Pipeline
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.forecasts.rates import devices
from seedbed.plan.training_hours import TrainingHours
from seedbed.report.filled_tables import fill_table, show, to_csv, to_metrics
from seedbed.report.latex import to_latex

ROOT = Path(__file__).parents[2]


def preset(name):
    return resolve({**read_params(ROOT / "params.yaml"), "preset": name})


def segmentation(**chain):
    about = {"stage": "segmentation", "dataset": "shapes", "split": "val", "metric": "training_hours"}
    return measurement_of({**about, **chain})


@pytest.fixture(scope="module")
def demo():
    chosen = preset("demo")
    return Pipeline(chosen, read_papers(ROOT / "papers"), Layout("demo"), load_sources())


def test_hours_are_those_of_every_training_on_the_way():
    chosen = preset("demo")
    forecaster = Forecaster(chosen, devices()["h100"], lambda _: {})
    each = [
        forecaster.seconds(rule, {"dataset": "shapes", **names}, 1, 0)
        for rule, names in (
            ("train_classifier", {"model": "exvit"}),
            ("train_affinity_network", {"network": "psa"}),
            ("train_segmenter", {"segmenter": "deeplab_v2_resnet38"}),
        )
    ]
    chain = {"model": "exvit", "explainer": "attribute_guided_map", "refiner": "psa_crf"}
    found = TrainingHours(chosen).of(segmentation(**chain, segmenter="deeplab_v2_resnet38"))
    assert found == pytest.approx(sum(each) / 3600)


def test_a_training_on_several_gpus_counts_each_of_them():
    paper = preset("paper")
    held = paper.resources_for("train_segmenter").of("deeplab_v1_resnet38")
    names = {"dataset": "voc12", "segmenter": "deeplab_v1_resnet38"}
    alone = Forecaster(paper, devices()["h100"], lambda _: {}).seconds("train_segmenter", names, held.threads, held.gpu)
    given = {"dataset": "voc12", "model": "none", "explainer": "none", "refiner": "truth"}
    hours = TrainingHours(paper).of(segmentation(**given, segmenter="deeplab_v1_resnet38"))
    assert held.gpu >= 1 and hours == pytest.approx(held.gpu * alone / 3600)


def test_the_notes_tell_what_is_forecast(demo):
    cells = [cell for cell in demo.tables.cells("frontier", "voc") if cell.column == "hours"]
    told = [cell for cell in cells if cell.status == "forecast"]  # the others are rows that the demo has not
    assert {cell.status for cell in cells} <= {"forecast", "not run"} and told
    assert all(cell.hours > 0 for cell in told)
    assert "hours of one job on cores" in demo.tables.notes("frontier", "voc")[-1]
    assert "GPU-hours of one H100" in TrainingHours(preset("paper")).note()
    assert not any("forecast" in note for note in demo.tables.notes("exvit", "table2"))


def test_a_forecast_is_shown_and_is_no_metric():
    column = {"id": "hours", "title": "Training", "unit": "hours"}
    row = {"id": "ours", "label": "Ours", "status": "reproduced", "supervision": "I", "reported": {}}
    words = {"id": "t", "title": "T", "caption": "C", "question": "Q"}
    table = Table.model_validate({**words, "columns": [column], "rows": [row]})
    known, unknown = (Cell("ours", "hours", "forecast", None, hours=hours) for hours in (3.456, None))
    (value,) = fill_table(table, [known], {}.__getitem__)
    assert show(value, 2) == "- → 3.46 (forecast)" and to_metrics([value]) == {}
    assert value.difference is None
    (line,) = csv.DictReader(io.StringIO(to_csv(table, [value])))
    assert (line["status"], line["measured"], line["forecast"]) == ("forecast", "", "3.456")
    assert "3.46" not in to_latex(table, [value])
    assert show(fill_table(table, [unknown], {}.__getitem__)[0], 2) == "- → forecast"


def test_points_of_a_figure_stand_at_their_forecast(demo):
    panels = demo.figures.complete("frontier", "figure_hours")
    hours = {cell.row: cell.hours for cell in demo.tables.cells("frontier", "voc") if cell.column == "hours"}
    places = {panel.label: panel.places for panel in panels}
    assert places["eX-ViT"] == (hours["exvit"],) and places["PSA"] == (hours["psa"],)


def test_a_point_without_a_forecast_is_left_out_and_named():
    chosen = preset("demo")
    given = Pipeline(chosen, read_papers(ROOT / "papers"), Layout("demo"), load_sources())
    given.tables.hours.of = lambda measurement: None if getattr(measurement, "model", "") == "exvit" else 1.5
    asked = SimpleNamespace(paper="frontier", figure="figure_hours")
    labels = [series["label"] for series in given.figures.series(asked)]
    assert "PSA" in labels and "eX-ViT" not in labels
    assert "eX-ViT" in given.figures.notes(asked)[-1].partition("(benchmarks/count.py): ")[2]


def test_a_point_that_the_preset_cannot_make_is_left_out_and_named(demo):
    asked = SimpleNamespace(paper="frontier", figure="figure_hours")
    without = {panel.label for panel in demo.papers["frontier"].figure("figure_hours").panels} - {
        series["label"] for series in demo.figures.series(asked)
    }
    assert without == {"ToCo on DeiT-B"} and demo.figures.state("frontier", "figure_hours") == "built"
    assert demo.figures.notes(asked)[-1].endswith("(benchmarks/count.py): ToCo on DeiT-B.")
