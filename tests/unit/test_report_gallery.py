"""Galleries: which pictures, and what is painted over them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seedbed.data.index import Record
from seedbed.data.pictures import read_mask, read_picture
from seedbed.io.heatmaps import HeatMaps
from seedbed.report.drawing import draw_grid, overlay_heatmap, overlay_mask
from seedbed.report.gallery import (
    Heat,
    Histogram,
    Masks,
    Picture,
    Row,
    Section,
    Truth,
    choose,
    draw_gallery,
    rows_of,
    strongest,
)

GREY = np.full((4, 6, 3), 100, np.uint8)


def truths(index):
    """Ground truth by image id."""
    return {r.image: read_mask(index.root / r.mask, r.size, len(index.classes)) for r in index.records}


def maps(index, values=1.0):
    """Flat maps of every label, by image id."""

    def flat(record):
        classes = np.array(index.class_indices(record))
        return HeatMaps(classes, np.full((len(classes), 6, 6), values, np.float32), record.size)

    return {record.image: flat(record) for record in index.records}


def test_masks_are_painted_in_their_palettes_colours():
    mask = np.array([[0, 0, 1, 1, 255, 255]] * 4, np.uint8)
    painted = overlay_mask(GREY, mask)
    assert painted[0, 0].tolist() == [45, 45, 45]
    assert painted[0, 2].tolist() == [25 + 96, 25, 25]
    assert painted[0, 4].tolist() == [216, 216, 216]


def test_heat_is_painted_over_the_picture():
    heat = np.array([[0, 0.5, 1, np.nan, -3, 7]] * 4, np.float32)
    painted = overlay_heatmap(GREY, heat).astype(int)
    assert painted.shape == GREY.shape
    assert painted[0, 0].sum() < painted[0, 1].sum() < painted[0, 2].sum()
    assert (painted[0, 3] == painted[0, 0]).all()
    assert (painted[0, 4] == painted[0, 0]).all()
    assert (painted[0, 5] == painted[0, 2]).all()


def row(index, number=0, label=None):
    return Row(index, index.records[number], label)


def ramp():
    """A flat map of class 0 and a rising one of class 1, 6 x 6 cells for a picture of 48 x 48."""
    maps = np.stack([np.full((6, 6), 0.5), np.linspace(0, 2, 36).reshape(6, 6)]).astype(np.float32)
    return HeatMaps(np.array([0, 1]), maps, (48, 48))


def test_the_strongest_map_at_the_pictures_size():
    assert strongest(ramp(), None).shape == (48, 48)
    assert strongest(ramp(), None).min() == 0.5
    assert strongest(ramp(), None).max() == 2
    np.testing.assert_array_equal(strongest(ramp(), 0), np.full((48, 48), 0.5, np.float32))
    np.testing.assert_array_equal(strongest(ramp(), 5), np.zeros((48, 48), np.float32))


def test_columns(shapes):
    record = shapes.records[0]
    picture = read_picture(shapes.root / record.path)
    masks, heat = truths(shapes), {record.image: ramp()}
    np.testing.assert_array_equal(Picture().draw(row(shapes)), picture)
    np.testing.assert_array_equal(Truth().draw(row(shapes)), overlay_mask(picture, masks[record.image]))
    np.testing.assert_array_equal(Masks("m", masks).draw(row(shapes)), overlay_mask(picture, masks[record.image]))
    shown = overlay_heatmap(picture, strongest(ramp(), None) / 2)
    np.testing.assert_array_equal(Heat("h", heat).draw(row(shapes)), shown)
    flat = Heat("h", heat).draw(row(shapes, label=0))
    np.testing.assert_array_equal(flat, overlay_heatmap(picture, np.ones((48, 48))))
    one, other = (Histogram("d", heat).draw(row(shapes, label=label)) for label in (0, 1))
    assert (one.dtype, one.shape[2]) == (np.uint8, 3)
    assert not np.array_equal(one, other)


def test_a_picture_without_ground_truth_is_darkened(shapes):
    bare = Row(shapes, replace(shapes.records[0], mask=None), None)
    np.testing.assert_array_equal(Truth().draw(bare), bare.picture() // 4)


@pytest.mark.parametrize("values", [0.0, np.nan, -1.0])
@pytest.mark.parametrize("column", [Heat, Histogram])
def test_maps_that_say_nothing_are_drawn(shapes, column, values):
    drawn = column("maps", maps(shapes, values)).draw(row(shapes))
    if column is Heat:
        np.testing.assert_array_equal(drawn, overlay_heatmap(row(shapes).picture(), np.zeros((48, 48))))


@pytest.mark.parametrize("column", [Heat, Histogram])
def test_a_picture_without_classes_is_drawn(shapes, column):
    empty = {shapes.records[0].image: HeatMaps(np.zeros(0, int), np.zeros((0, 6, 6), np.float32), (48, 48))}
    assert column("maps", empty).draw(row(shapes)).dtype == np.uint8


def test_titles_of_rows(shapes):
    number = next(k for k, record in enumerate(shapes.records) if len(record.labels) > 1)
    assert row(shapes, number).title() == "\n".join(shapes.records[number].labels)
    assert row(shapes, number, label=4).title() == shapes.classes[4]


def test_a_row_for_each_picture_or_for_each_of_its_classes(shapes):
    whole = rows_of(shapes, shapes.records, 5)
    assert [line.label for line in whole] == [None] * 5
    split = rows_of(shapes, shapes.records, 5, per_class=True)
    expected = [(line.record.image, label) for line in whole for label in shapes.class_indices(line.record)]
    assert [(line.record.image, line.label) for line in split] == expected


def records(single, several):
    labels = [("a",)] * single + [("a", "b")] * several
    return [Record(f"{k}", ("val",), names, "p", None, (1, 1)) for k, names in enumerate(labels)]


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 12))
def test_chosen_pictures_are_distinct_and_half_hold_several(single, several, count):
    given = records(single, several)
    chosen = choose(given, count)
    assert len({record.image for record in chosen}) == len(chosen) == min(count, len(given))
    expected = min(several, max(count // 2, count - single))
    assert sum(len(record.labels) > 1 for record in chosen) == expected
    assert choose(given, count) == chosen


def test_chosen_pictures_are_spread():
    assert [record.image for record in choose(records(9, 0), 3)] == ["1", "4", "7"]


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_gallery_is_a_picture_and_the_same_each_time(shapes):
    columns = [Picture(), Heat("maps", maps(shapes)), Masks("masks", truths(shapes))]
    section = Section("", rows_of(shapes, shapes.split("val"), 2), columns)
    png = draw_gallery([section])
    assert png == draw_gallery([section])
    assert decoded(png).std() > 10
    taller = decoded(draw_gallery([section._replace(label="first"), section._replace(label="second")]))
    assert taller.shape[0] > decoded(png).shape[0]
    wider = decoded(draw_gallery([section._replace(columns=[*columns, Truth()])]))
    assert wider.shape[1] > decoded(png).shape[1]


def test_titles_and_labels_may_hold_anything():
    titles = ["a $b", "<c> & $d$"]
    assert decoded(draw_grid([[GREY, GREY]], titles, ["x_$1$"])).size
