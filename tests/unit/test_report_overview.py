"""The overview of exported masks: which images it takes, what it says beside them, and the colours of the classes."""

import io

import numpy as np
import pytest
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.io.masks import encode_mask
from seedbed.report import overview
from seedbed.report.drawing import draw_grid
from seedbed.report.overview import class_colours, draw_overview

CLASSES = ("cat", "dog", "cow")
SIZE = (8, 10)


def index_of(root, judged):
    """Images a, b, ...: the truth of each is its left half, class 1."""
    truth = np.zeros(SIZE, np.uint8)
    truth[:, :5] = 1
    records = []
    for name in "abcdefg":
        Image.new("RGB", SIZE[::-1], (90, 120, 30)).save(root / f"{name}.jpg")
        (root / f"{name}.png").write_bytes(encode_mask(truth))
        records.append(Record(name, ("val",), ("cat",), f"{name}.jpg", f"{name}.png" if judged else None, SIZE))
    return DataIndex(root, CLASSES, tuple(records))


def masks_of(index):
    """Class 1 on so many columns of each image: 0 of a, 1 of b, ..., 6 of g; f is the truth itself."""
    found = {}
    for count, record in enumerate(index.records):
        found[record.image] = np.zeros(SIZE, np.uint8)
        found[record.image][:, :count] = 1
    return found


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to the drawing."""
    calls = []
    monkeypatch.setattr(overview, "draw_grid", lambda *given, **named: calls.append((*given, named)) or b"")
    return calls


def test_best_worst_and_a_sample_with_their_scores(tmp_path, drawn):
    index = index_of(tmp_path, judged=True)
    draw_overview(index, index.records, masks_of(index))
    ((rows, titles, labels, named),) = drawn
    assert titles == ["image", "mask", "ground truth"] and {len(row) for row in rows} == {3}
    # a shows no cat at all: background 5 of 10 columns right, cat 0 of 5. g paints one column too many.
    assert [label.split("\n") for label in labels[:4]] == [
        ["best: f", "mIoU 100.0 %"],
        ["best: g", f"mIoU {100 * (4 / 5 + 5 / 6) / 2:.1f} %"],
        ["worst: a", "mIoU 25.0 %"],
        ["worst: b", f"mIoU {100 * (5 / 9 + 1 / 5) / 2:.1f} %"],
    ]
    assert len(labels) == 6 and all(label.startswith("sample: ") and "mIoU" in label for label in labels[4:])
    assert named["colours"] == {"cat": (128, 0, 0)}


def test_without_ground_truth_a_sample(tmp_path, drawn):
    index = index_of(tmp_path, judged=False)
    masks = masks_of(index)
    masks["a"][0] = 3
    masks["b"][0] = 255
    draw_overview(index, index.records, masks)
    ((rows, titles, labels, named),) = drawn
    assert titles == ["image", "mask"] and len(rows) == 6
    assert all(label.startswith("sample: ") and "mIoU" not in label for label in labels)
    assert set(named["colours"]) <= {"cat", "cow", "void"}


def test_colours_are_those_of_the_palette():
    assert class_colours(CLASSES, {0, 2, 255}) == {"dog": (0, 128, 0), "void": (255, 255, 255)}


def test_the_legend_is_drawn_below():
    grey = np.full((8, 10, 3), 128, np.uint8)
    bare, named = (
        np.asarray(Image.open(io.BytesIO(draw_grid([[grey]], ["image"], ["a"], colours=colours))).convert("RGB"))
        for colours in ({}, {"cat_$1$": (10, 200, 30)})
    )
    assert named.shape[0] - bare.shape[0] == 24 and named.shape[1] == bare.shape[1]  # 0.22 inches of 110 dots
    of_class = (named == (10, 200, 30)).all(-1)
    assert of_class[-40:].any() and not of_class[:-40].any()


def test_a_single_image_is_a_sample_and_the_same_each_time(tmp_path):
    index = index_of(tmp_path, judged=True)
    drawn = draw_overview(index, index.records[5:6], masks_of(index))
    assert drawn.startswith(b"\x89PNG") and drawn == draw_overview(index, index.records[5:6], masks_of(index))
