"""Tables: the paper's number, the measured one, and the difference, in every form they are written."""

import csv
import io
import math

import pytest
from report_samples import EVIL, METRICS, cells, measurement, table

from seedbed.errors import UserError
from seedbed.papers.plan import Cell
from seedbed.report.filled_tables import (
    Value,
    decimals,
    fill_table,
    show,
    show_measured,
    to_csv,
    to_markdown,
    to_metrics,
)


def values(metrics=METRICS, **changes):
    return fill_table(table(**changes), cells(), metrics.__getitem__)


def test_numbers_by_hand():
    """64 % and 68 %: mean 66, sample deviation the root of 8; a fraction stays a fraction."""
    theirs, theirs_fp, ours, ours_fp, big, submitted = values()
    assert (ours.mean, ours.std) == (pytest.approx(66.0), pytest.approx(math.sqrt(8)))
    assert ours.difference == pytest.approx(-0.25)
    assert (ours_fp.mean, ours_fp.std, ours_fp.difference) == (0.25, None, pytest.approx(0.05))
    for value in (theirs, theirs_fp, big, submitted):
        assert (value.mean, value.std, value.difference) == (None, None, None)


def test_a_missing_metric_names_the_file():
    with pytest.raises(UserError, match=r"seed1/heatmaps\.json: has no metric 'miou'; it has iou_cat, moiu"):
        values(METRICS | {"seed1/heatmaps.json": {"moiu": 1, "iou_cat": 2}})


def test_numbers_that_are_undefined_show_so():
    found = values(METRICS | {"seed1/heatmaps.json": {"miou": None, "fp": 1}})
    assert math.isnan(found[2].mean)
    assert show(found[2], 2) == "66.25 → undefined"
    assert "undefined" in to_markdown(table(), found, [])
    assert to_metrics(found)["ours"] == {"miou": None, "fp": 0.25}


def test_a_cell_of_each_status():
    texts = [show(value, 2) for value in values()]
    assert texts == [
        "61.70 (cited)",
        "- (cited)",
        "66.25 → 66.00 ± 2.83 (-0.25)",
        "0.20 → 0.25 (+0.05)",
        "70.00 → not run",
        "- → submit",
    ]


def test_a_measured_number_without_a_reported_one():
    value = Value(Cell("r", "c", "measured", None, measurement("miou"), ("a",)), 12.345)
    assert show(value, 2) == "- → 12.35" or show(value, 2) == "- → 12.34"
    assert value.difference is None
    assert show_measured(value, 1) == "12.3"


def test_decimals_follow_the_paper():
    assert decimals(table(), "miou") == 2
    assert decimals(table(), "fp") == 2
    rows = [{"id": "a", "label": "A", "status": "cited", "reported": {"miou": 0.1234, "fp": None}}]
    assert decimals(table(rows=rows), "miou") == 4
    assert decimals(table(rows=rows), "fp") == 2


def test_csv_has_a_line_a_cell():
    lines = list(csv.DictReader(io.StringIO(to_csv(table(), values()))))
    assert [line["status"] for line in lines] == ["cited", "cited", "measured", "measured", "not run", "submit"]
    assert lines[2] == {
        "row": "ours",
        "label": "Ours",
        "supervision": "",
        "column": "miou",
        "unit": "%",
        "status": "measured",
        "reported": "66.25",
        "measured": "66",
        "std": "2.82843",
        "difference": "-0.25",
        "seeds": "2",
        "sources": "seed0/heatmaps.json seed1/heatmaps.json",
    }
    assert {lines[0][name] for name in ("measured", "std", "difference", "seeds", "sources")} == {""}


def test_csv_keeps_any_label():
    rows = [{"id": "theirs", "label": f'{EVIL}, "quoted"\nsecond line', "status": "cited", "reported": {"miou": 1}}]
    text = to_csv(table(rows=rows), [Value(Cell("theirs", "miou", "cited", 1.0))])
    (line,) = csv.DictReader(io.StringIO(text))
    assert line["label"] == f'{EVIL}, "quoted"\nsecond line'


def test_markdown():
    text = to_markdown(table(), values(), ["One seed.", "mIoU of all."])
    assert text == (
        "**Seeds**\n\n"
        "| Method | mIoU (%) | FP (fraction) |\n"
        "| --- | ---: | ---: |\n"
        "| Theirs | 61.70 (cited) | - (cited) |\n"
        "| Ours | 66.25 → 66.00 ± 2.83 (-0.25) | 0.20 → 0.25 (+0.05) |\n"
        "| Big | 70.00 → not run | - → submit |\n"
        "\n- One seed.\n- mIoU of all.\n"
    )


def test_markdown_escapes_what_would_break_a_row():
    given = table(
        rows=[{"id": "theirs", "label": "a | b", "status": "cited", "reported": {"miou": 1}}],
        columns=[{"id": "miou", "title": "x | y", "unit": "%", "better": "higher"}],
    )
    text = to_markdown(given, [Value(Cell("theirs", "miou", "cited", 1.0))], [])
    assert "| Method | x \\| y (%) |" in text
    assert "| a \\| b | 1.00 (cited) |" in text


def test_metrics_hold_what_was_measured():
    assert to_metrics(values()) == {"ours": {"miou": 66.0, "fp": 0.25}}


def test_a_segmentation_table_shows_what_each_row_learnt_from():
    columns = [{"id": name, "title": name, "unit": "%", "better": "higher", "pipeline": {"stage": "masks"}}
               for name in ("miou", "fp")]  # fmt: skip
    supervised = zip(("theirs", "ours", "big"), ("I+S", "I", "F"), strict=True)
    rows = [{"id": name, "label": name, "status": "cited", "supervision": given, "reported": {}}
            for name, given in supervised]  # fmt: skip
    shown = table(columns=columns, rows=rows)
    lines = to_markdown(shown, values(), []).splitlines()
    assert lines[2].startswith("| Method | Sup. | miou (%)") and lines[4].startswith("| theirs | I+S |")
    csv_lines = list(csv.DictReader(io.StringIO(to_csv(shown, values()))))
    assert [line["supervision"] for line in csv_lines] == ["I+S", "I+S", "I", "I", "F", "F"]
