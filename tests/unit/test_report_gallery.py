"""Galleries: which images, and what is painted over them."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import Record
from seedbed.data.normalise import normalise
from seedbed.explain.attention_cams import patch_attention
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.params.stages import Explainer
from seedbed.report.confident import ConfidentBackground, ConfidentForeground
from seedbed.report.drawing import draw_grid, draw_matrix, overlay_heatmap, overlay_mask
from seedbed.report.gallery import (
    Heat,
    Histogram,
    Masks,
    Original,
    Row,
    Section,
    Truth,
    choose,
    draw_gallery,
    interleave,
    rows_of,
    strongest,
    unknown_subjects,
)
from seedbed.report.panels import open_sections, shown_layers

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


def test_confident_labels_are_posteriors_without_their_background_or_it_alone():
    posteriors = {"a": HeatMaps(np.array([-1, 2, 4]), np.arange(3.0)[:, None, None] * np.ones((3, 2, 2)), (2, 2))}
    foreground, background = ConfidentForeground(posteriors), ConfidentBackground(posteriors)
    assert strongest(foreground["a"], 2).max() == 1 and strongest(foreground["a"], None).max() == 2
    assert background["a"].classes.tolist() == [2, 4] and not strongest(background["a"], 4).any()
    assert list(background) == ["a"] and len(foreground) == 1


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
    assert (painted[0, 3] == int(0.35 * 100 + 0.65 * 128)).all()
    assert (painted[0, 4] == painted[0, 0]).all()
    assert (painted[0, 5] == painted[0, 2]).all()


def row(index, number=0, label=None):
    return Row(index, index.records[number], label)


def ramp():
    """A flat map of class 0 and a rising one of class 1, 6 x 6 cells for an image of 48 x 48."""
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
    np.testing.assert_array_equal(Original().draw(row(shapes)), picture)
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
    bare = Row(shapes, replace(shapes.records[0], mask=None, boxes=()), None)
    np.testing.assert_array_equal(Truth().draw(bare), bare.image() // 4)


@pytest.mark.parametrize("values", [0.0, np.nan, -1.0])
@pytest.mark.parametrize("column", [Heat, Histogram])
def test_maps_that_say_nothing_are_drawn(shapes, column, values):
    drawn = column("maps", maps(shapes, values)).draw(row(shapes))
    if column is Heat:
        flat = np.full((48, 48), np.nan if np.isnan(values) else 0.0)
        np.testing.assert_array_equal(drawn, overlay_heatmap(row(shapes).image(), flat))


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
    columns = [Original(), Heat("maps", maps(shapes)), Masks("masks", truths(shapes))]
    section = Section("", rows_of(shapes, shapes.split("val"), 2), columns)
    png = draw_gallery([section])
    assert png == draw_gallery([section])
    document = draw_gallery([section], "pdf")
    assert document.startswith(b"%PDF") and document == draw_gallery([section], "pdf")
    assert decoded(png).std() > 10
    taller = decoded(draw_gallery([section._replace(label="first"), section._replace(label="second")]))
    assert taller.shape[0] > decoded(png).shape[0]
    wider = decoded(draw_gallery([section._replace(columns=[*columns, Truth()])]))
    assert wider.shape[1] > decoded(png).shape[1]


def test_titles_and_labels_may_hold_anything():
    titles = ["a $b", "<c> & $d$"]
    assert decoded(draw_grid([[GREY, GREY]], titles, ["x_$1$"])).size


def test_matrices_are_darkest_at_zero():
    matrix = np.array([[0.0, 0.1], [0.2, 0.05]])
    drawn = draw_matrix(matrix).astype(int).sum(-1)
    assert drawn.shape == (2, 2)
    assert drawn[0, 0] < drawn[1, 1] < drawn[0, 1] < drawn[1, 0]
    assert draw_matrix(np.zeros((3, 3))).shape == (3, 3, 3)


def test_rows_of_subjects(shapes):
    """The classes in turn, each with an image of its own; classes that the data set lacks are passed over."""
    several = [name for name in shapes.classes if sum(name in record.labels for record in shapes.records) > 1]
    first, second = several[:2]
    rows = rows_of(shapes, shapes.records, 3, subjects=["unicorn", second, first])
    assert [row.title() for row in rows[:2]] == [second, first]
    assert all(row.title() in row.record.labels for row in rows)
    assert len({row.record.image for row in rows}) == 3
    assert rows_of(shapes, shapes.records, 3, subjects=["unicorn"]) == rows_of(shapes, shapes.records, 3)
    many = rows_of(shapes, shapes.records, 99, subjects=[first])
    assert len(many) == sum(first in record.labels for record in shapes.records)
    assert unknown_subjects(["unicorn", first], [shapes]) == [
        "The paper shows unicorn; the data set has no such class."
    ]
    assert unknown_subjects([first], [shapes]) == []


def test_sections_interleave_picture_by_picture(shapes):
    rows = rows_of(shapes, shapes.split("val"), 2)
    one, other = (Section(label, rows, [Original()]) for label in ("a", "b"))
    found = interleave([one, other])
    assert [(section.label, section.rows) for section in found] == [
        ("a", [rows[0]]), ("b", [rows[0]]), ("a", [rows[1]]), ("b", [rows[1]]),
    ]  # fmt: skip


def test_sections_may_differ_in_their_columns(shapes):
    rows = rows_of(shapes, shapes.split("val"), 1)
    wide = Section("", rows, [Original("a"), Original("b"), Original("c")])
    narrow = Section("", rows, [Original("d")])
    assert decoded(draw_gallery([wide, narrow])).std() > 10
    same = draw_gallery([wide, wide._replace(columns=[Original("a"), Original("b"), Original("d")])])
    assert same != draw_gallery([wide, wide])


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, [0]), (4, [0, 1, 2, 3]), (6, [0, 1, 2, 3, 4, 5]), (12, [1, 3, 5, 7, 9, 11]), (7, [0, 1, 2, 3, 4, 6])],
)
def test_at_most_six_layers_up_to_the_last(count, shown):
    assert shown_layers(count) == shown


def test_columns_by_layer(shapes, tmp_path):
    """Heat of each layer is that of the layer alone; matrices are the network's own."""
    architecture, small = "mctformerv2_tiny", {"embed_dim": 16, "depth": 3, "num_heads": 2, "img_size": 48}
    torch.manual_seed(0)
    model = create_model(architecture, len(shapes.classes), **small)
    write_weights(tmp_path / "w.safetensors", model.state_dict(), {})
    network = {"architecture": architecture, "num_classes": None, "options": small}
    spec = {"label": "l", "weights": str(tmp_path / "w.safetensors"), "network": network}
    settings = {
        "method": "mct_refined", "input": {"normalize": "imagenet"}, "fusion": "mctformer", "background": 0.4,
        "sweep": True,
    }  # fmt: skip
    group = {"label": "", "row": "r", "split": "val", "subset": None}
    inputs = {"input": {"normalize": "imagenet", "size": [48, 48]}}
    panels = [
        {"label": "", "shows": "image"},
        {**spec, "shows": "heatmap_per_layer", "explainer": settings},
        {**spec, "shows": "affinity_matrix_per_layer", **inputs},
    ]
    (section,) = open_sections([{**group, "panels": panels}], [shapes], 1, lambda: torch.device("cpu"))
    assert section.label == "r"
    assert [column.title for column in section.columns] == ["", *[f"layer {k}" for k in (1, 2, 3)] * 2]
    row = section.rows[0]
    alone = Explainer.model_validate({**settings, "options": {"layers": [1]}})
    ((_, heat),) = picture_heatmaps(model, shapes, [row.record], alone, torch.device("cpu"))
    shown = section.columns[2].maps[row.record.image]
    np.testing.assert_allclose(strongest(shown, None), strongest(heat, None), atol=1e-5)
    view = normalise(torch.from_numpy(row.image().copy()).permute(2, 0, 1), "imagenet")[None]
    np.testing.assert_allclose(
        section.columns[5].matrices[row.record.image], patch_attention(model, view)[1][0].numpy(), atol=1e-5
    )
    assert section.columns[5].draw(row).shape == (36, 36, 3)


def test_a_peak_is_framed_in_red(shapes):
    row = rows_of(shapes, shapes.records, 1)[0]
    classes = np.array(shapes.class_indices(row.record))
    heat = np.zeros((len(classes), 48, 48), np.float32)
    heat[:, 20, 30] = 1.0
    stored = {row.record.image: HeatMaps(classes, heat, row.record.size)}
    plain, framed = Heat("plain", stored).draw(row), Heat("framed", stored, peak=True).draw(row)
    changed = (plain != framed).any(-1)
    assert framed[changed].tolist() == [[255, 0, 0]] * int(changed.sum())
    ys, xs = np.nonzero(changed)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (16, 24, 26, 34)
    heat[:, 0, 0] = np.nan
    assert (Heat("undefined", stored, peak=True).draw(row) == Heat("undefined", stored).draw(row)).all()


def test_undefined_values_are_grey():
    painted = overlay_heatmap(GREY, np.full((4, 6), np.nan))
    assert (painted == int(0.35 * 100 + 0.65 * 128)).all()
    assert not np.array_equal(painted, overlay_heatmap(GREY, np.zeros((4, 6))))


def test_true_boxes_are_framed_where_there_is_no_mask(shapes):
    record = replace(next(r for r in shapes.records if r.boxes), mask=None)
    drawn = Truth().draw(Row(shapes, record, None)).astype(int)
    white = (drawn == 255).all(-1)
    box = record.boxes[0]
    assert white[box.ymin - 1, box.xmin - 1] and white[box.ymax - 1, box.xmax - 1]  # 1-based, inclusive
    assert not (Truth().draw(Row(shapes, replace(record, boxes=()), None)) == 255).all(-1).any()


def test_a_gallery_of_heat_maps_has_a_colour_bar(shapes):
    rows = rows_of(shapes, shapes.records, 1)
    heights = [
        decoded(draw_gallery([Section("", rows, [column])])).shape[0]
        for column in (Original(), Heat("m", maps(shapes)))
    ]
    assert heights[1] > heights[0]


def test_truth_of_a_row_with_a_class_is_that_class(shapes):
    record = next(r for r in shapes.records if len(set(r.labels)) > 1 and r.mask)
    mask = truths(shapes)[record.image]
    for label in shapes.class_indices(record):
        row = Row(shapes, record, label)
        expected = overlay_mask(row.image(), np.where(mask == label + 1, mask, 0))
        np.testing.assert_array_equal(Truth().draw(row), expected)


@pytest.mark.parametrize("name", ["$x$", "a_$b", "\\frac{1}{0}$\\alpha", "<b>&'\"", "%d{0}", "käfer 昆虫"])
def test_names_of_any_characters_are_drawn_as_they_are(name):
    image = np.zeros((8, 8, 3), np.uint8)
    assert draw_grid([[image]], [name], [name]).startswith(b"\x89PNG")
