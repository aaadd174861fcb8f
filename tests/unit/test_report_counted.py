"""Undefined maps and left-out images reach a table's footnotes."""

import numpy as np
from report_samples import measurement, table

from seedbed.evaluate.localization import BoxLocalization
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.evaluate.soft_segmentation import SoftSegmentation
from seedbed.papers.plan import Cell
from seedbed.report.counted import counted_notes
from seedbed.report.filled_tables import fill_table, to_markdown


def cells(*rows):
    return [Cell(row, "miou", "measured", None, measurement("miou"), paths) for row, paths in rows]


def test_undefined_maps_are_summed_over_seeds_and_named_by_what_is_explained():
    files = {
        "a0": {"undefined_maps_predicted": 3, "images_predicted": 10, "undefined_maps_target": 0, "images_target": 10},
        "a1": {"undefined_maps_predicted": 1, "images_predicted": 10, "undefined_maps_target": 2, "images_target": 10},
        "b": {"undefined_maps": 0, "images": 10},
        "c": {"miou": 0.5},
    }
    given = cells(("ours", ("a0", "a1")), ("big", ("b",)), ("theirs", ("c",)))
    assert counted_notes(table(), given, files.__getitem__) == [
        "Ours: maps undefined (0/0, or of one value only): 4 of 20 predicted, 2 of 20 target.",
        "No map of Big is undefined (0/0), of 10 each.",
    ]


def test_left_out_pictures_are_said_once_for_all_rows_alike():
    files = {"a": {"undefined_maps": 0, "images": 150, "skipped": 50}}
    assert counted_notes(table(), cells(("ours", ("a",)), ("big", ("a",))), files.__getitem__) == [
        "No map of any row is undefined (0/0), of 150 each.",
        "Ours, Big: 50 of 200 images left out, their class predicted wrongly.",
    ]


def test_files_that_leave_no_picture_out_do_not_count_among_them():
    """A row with a perturbation test of all images beside its localisation: 50 of 200 became 50 of 400."""
    files = {"a": {"images": 150, "skipped": 50}, "b": {"images": 200}}
    assert counted_notes(table(), cells(("ours", ("a", "b"))), files.__getitem__) == [
        "Ours: 50 of 200 images left out, their class predicted wrongly."
    ]


def test_a_nan_map_is_counted_from_the_protocol_to_the_printed_table():
    segmented, boxes = SoftSegmentation(), BoxLocalization()
    heat, truth = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.int64)
    for maps in (heat, np.full_like(heat, np.nan)):
        segmented.update(maps, truth)
        boxes.update(maps, [[0, 0, 1, 1]], label=0, predicted=0)
    files = {
        "s": merge_protocol("soft_segmentation", [segmented.to_dict()]),
        "b": {**merge_protocol("localization", [boxes.to_dict()]), "miou": 0.1},
    }
    given = cells(("ours", ("s",)), ("big", ("b",)))
    notes = counted_notes(table(), given, files.__getitem__)
    values = fill_table(table(rows=[row for row in table().plain()["rows"] if row["id"] != "theirs"]), given, files.get)
    assert [value.mean is not None for value in values] == [True, True]
    assert notes == [f"{row}: maps undefined (0/0, or of one value only): 1 of 2." for row in ("Ours", "Big")]
    assert "\n- Ours: maps undefined" in to_markdown(table(rows=[]), [], notes)
