"""Images picked by what a caption says of them."""

from pathlib import Path

import numpy as np
import pytest

from seedbed.data.index import Box, DataIndex, Record
from seedbed.errors import DataError
from seedbed.io.heatmaps import HeatMaps
from seedbed.report.gallery import Section
from seedbed.report.picks import peak_is_outside, picked_rows, unmet_picks

ONE = (Box("cat", 3, 2, 5, 4),)  # columns 2 to 4 and rows 1 to 3, from 0
PICKS = ("peak_in_background", "one_instance", "several_instances")


def record(name, boxes=ONE):
    return Record(name, ("val",), ("cat",), f"{name}.jpg", None, (6, 8), boxes)


def heat(y, x):
    maps = np.zeros((1, 6, 8), np.float32)
    maps[0, y, x] = 1
    return HeatMaps(np.array([0]), maps, (6, 8))


@pytest.mark.parametrize(
    ("y", "x", "outside"), [(1, 2, False), (3, 4, False), (0, 2, True), (4, 4, True), (2, 1, True), (2, 5, True)]
)
def test_a_peak_lies_outside_beyond_the_last_pixel_of_every_box(y, x, outside):
    assert peak_is_outside(record("a"), heat(y, x)) is outside
    assert not peak_is_outside(record("a", (*ONE, Box("cat", 1, 1, 8, 6))), heat(y, x))


def test_an_undefined_map_has_no_peak():
    undefined = heat(0, 0)
    undefined.maps[:] = np.nan
    assert not peak_is_outside(record("a"), undefined)


def test_rows_are_what_the_picks_say_and_no_image_comes_twice():
    two = record("two", (*ONE, Box("cat", 1, 1, 1, 1)))
    records = (record("in"), record("out"), two, record("unboxed", ()))
    index = DataIndex(Path("data"), ("cat",), records)
    found = {"in": heat(2, 3), "out": heat(5, 7), "two": heat(2, 3)}
    rows = picked_rows(index, records, PICKS, lambda shown: {one.image: found[one.image] for one in shown})
    assert [(row.record.image, row.why) for row in rows] == [
        ("out", "peak in background"), ("in", "one instance"), ("two", "several instances"),
    ]  # fmt: skip
    assert rows[0].heading("VOC") == "VOC\npeak in background\ncat"
    again = picked_rows(index, records[:1], ["one_instance", "one_instance", "several_instances"], found.__getitem__)
    assert [row.record.image for row in again] == ["in"]  # what no image meets is left out
    groups = [{"label": "VOC", "picks": PICKS}, {"label": "CUB", "picks": ["one_instance", "one_instance"]}]
    sections = [Section("VOC", rows[:2], []), Section("CUB", again, [])]
    assert unmet_picks(groups, sections) == [
        "VOC: no image with several instances.",
        "CUB: no image with one instance.",
    ]
    assert unmet_picks([{"label": "VOC", "picks": []}], sections) == []
    with pytest.raises(DataError, match="no image has a box"):
        picked_rows(index, records[3:], PICKS, found.__getitem__)
