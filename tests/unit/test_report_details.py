"""What stands behind a number: intervals by hand, parameters that differ, files and commands."""

import math
from dataclasses import replace

import pytest
from report_samples import METRICS, cells, table

from seedbed.papers.plan import PredictionMeasurement
from seedbed.report.details import Differing, behind_cell, differing_parameters, interval_over_seeds
from seedbed.report.filled_tables import fill_table


def test_interval_over_seeds_by_hand():
    """Of 1, 2, 3: mean 2, deviation 1, and 4.302653 for two degrees of freedom."""
    low, high = interval_over_seeds([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), rel=1e-6)
    assert interval_over_seeds([1.0]) is None
    assert interval_over_seeds([1.0, math.nan]) is None


def test_parameters_that_differ_by_value_or_are_absent():
    rows = {
        "a": {"model": {"lr": 0.1, "train": {"epochs": 2}}, "dataset": {"kind": "shapes"}},
        "b": {"model": {"lr": 0.2, "train": {"epochs": 2}}, "dataset": {"kind": "shapes"}, "refiner": {"t": 8}},
        "c": {"model": {"lr": 0.2, "train": {"epochs": 2}}, "dataset": {"kind": "shapes"}},
    }
    assert differing_parameters(rows)["a"] == [
        Differing("model.lr", "0.1", ("0.2",)),
        Differing("refiner.t", "–", ("8", "–")),
    ]
    assert differing_parameters(rows)["b"] == [
        Differing("model.lr", "0.2", ("0.1", "0.2")),
        Differing("refiner.t", "8", ("–",)),
    ]
    assert differing_parameters({"a": rows["a"]}) == {"a": []}


def test_files_numbers_and_commands_of_a_cell():
    value = fill_table(table(), cells(), METRICS.__getitem__)[2]
    behind = behind_cell(value, 100.0, METRICS.__getitem__, command="make --", over_images=(0.5, 0.75))
    assert [source.number for source in behind.sources] == [64.0, 68.0]
    assert [source.command for source in behind.sources] == [
        "make -- seed0/heatmaps.json",
        "make -- seed1/heatmaps.json",
    ]
    assert behind.over_images == (50.0, 75.0)
    assert behind.names[:2] == [("stage", "heatmaps"), ("dataset", "shapes")]
    assert not behind_cell(value, 100.0, METRICS.__getitem__).sources[0].command


def test_a_cell_has_the_names_of_its_kind_of_measurement():
    """A network that predicts masks itself has no explainer, refiner or segmenter."""
    predicted = PredictionMeasurement("prediction", "shapes", "val", "vit", "miou")
    made = [
        replace(cell, measurement=predicted) if (cell.row, cell.column) == ("ours", "miou") else cell
        for cell in cells()
    ]
    behind = behind_cell(fill_table(table(), made, METRICS.__getitem__)[2], 100.0, METRICS.__getitem__)
    assert [key for key, _ in behind.names] == ["stage", "dataset", "split", "model", "metric"]
