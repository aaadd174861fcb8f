"""CUB-200-2011: splits, boxes and masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mini_archives import cub_images, grey_png, into_raw, tar

from seedbed.data.boxes import corners
from seedbed.data.index import Box, read_index, write_index
from seedbed.data.published.cub200 import CUB, EXPECTED, SEGMENTATIONS, prepare_cub200
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask

CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
ITEMS = [
    (1, "Black_Footed_Albatross_0046_18", True, (20, 30), (6.0, 2.0, 12.0, 10.0)),
    (3, "Sooty_Albatross_0001_79", True, (10, 12), (0.0, 0.0, 12.0, 10.0)),
    (2, "Laysan_Albatross_0002_10", False, (8, 8), (1.6, 1.4, 99.0, 4.0)),
]
COUNTS = {"train": 2, "trainaug": 2, "test": 1}


def seen_by(size):
    """Five annotators: columns that 0, 1, 2, 3, 4, 5 of them marked."""
    share = np.arange(size[1]) * 6 // size[1]
    return np.broadcast_to(share * 51, size).astype(np.uint8)


def make(tmp_path, mode="L"):
    segmentations = {
        f"segmentations/{CLASSES[label - 1]}/{stem}.png": grey_png(seen_by(size), mode)
        for label, stem, _, size, _ in ITEMS
    }
    return into_raw(
        tmp_path / "cub200",
        cub200_images=cub_images(tmp_path / "c.tgz", ITEMS),
        cub200_segmentations=tar(tmp_path / "s.tgz", segmentations),
    )


def test_the_published_numbers_are_expected():
    assert EXPECTED == {"train": 5994, "trainaug": 5994, "test": 5794}


@pytest.mark.parametrize("workers", [1, 2])
def test_splits_labels_and_boxes(tmp_path, workers):
    root = make(tmp_path)
    index = prepare_cub200(root, expected=COUNTS, workers=workers)
    assert index.classes == CLASSES and index.splits() == dict(sorted(COUNTS.items()))
    first, laysan, sooty = index.records
    assert first.labels == CLASSES[:1] and first.splits == ("train", "trainaug") and laysan.splits == ("test",)
    assert first.path == f"{CUB}/images/{CLASSES[0]}/Black_Footed_Albatross_0046_18.jpg"
    assert first.boxes == (Box(CLASSES[0], 7, 3, 18, 12),)  # 12 columns, 10 rows
    assert sooty.boxes == (Box(CLASSES[2], 1, 1, 12, 10),)  # the whole image
    assert laysan.boxes == (Box(CLASSES[1], 3, 2, 8, 5),)  # cut to the image
    write_index(index)
    assert read_index(root) == index


@pytest.mark.parametrize(("threshold", "votes"), [(0.5, 3), (0.0, 1), (0.7, 4), (0.99, 5)])
def test_masks_hold_the_class_where_enough_annotators_saw_the_bird(tmp_path, threshold, votes):
    root = make(tmp_path)
    index = prepare_cub200(root, expected=COUNTS, threshold=threshold, workers=1)
    for record in index.records:
        expected = (seen_by(record.size) >= votes * 51) * (index.class_indices(record)[0] + 1)
        np.testing.assert_array_equal(decode_mask(root / record.mask), expected)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_segmentations_in_colour_modes_are_read_as_grey(tmp_path, mode):
    root = make(tmp_path, mode)
    record = prepare_cub200(root, expected=COUNTS, workers=1).records[0]
    np.testing.assert_array_equal(decode_mask(root / record.mask) == 1, seen_by(record.size) >= 153)


@given(
    st.floats(-5, 60),
    st.floats(-5, 60),
    st.floats(0, 60),
    st.floats(0, 60),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_corners_lie_in_the_picture(x, y, width, height, size):
    left, top, right, bottom = corners(x, y, width, height, size)
    assert 1 <= left <= right <= size[1] and 1 <= top <= bottom <= size[0]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
def test_corners_of_whole_numbers_cover_as_many_pixels(x, y, width, height):
    left, top, right, bottom = corners(x, y, width, height, (50, 50))
    assert (left - 1, top - 1, right - left + 1, bottom - top + 1) == (x, y, width, height)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (f"{CUB}/bounding_boxes.txt", "1 1 1 1 1\n2 1 1 1 1\n", r"bounding_boxes\.txt: does not list .* differ at 3"),
        (f"{CUB}/bounding_boxes.txt", "1 1 1 1\n2 1 1 1 1\n3 1 1 1 1\n", "'1 1 1 1' must be a number and 4 value"),
        (f"{CUB}/bounding_boxes.txt", "1 a 1 1 1\n2 1 1 1 1\n3 1 1 1 1\n", "image 1: could not convert"),
        (f"{CUB}/image_class_labels.txt", "1 1\n2 4\n3 2\n", "image 2 has the class '4'"),
        (f"{CUB}/train_test_split.txt", "1 1\n2 2\n3 0\n", "image 2 has the class '3' and the split '2'"),
        (f"{CUB}/classes.txt", None, r"classes\.txt: no such list"),
        (f"{SEGMENTATIONS}/{CLASSES[1]}/Laysan_Albatross_0002_10.png", None, "no such segmentation"),
        (f"{SEGMENTATIONS}/{CLASSES[1]}/Laysan_Albatross_0002_10.png", "x", "not a readable segmentation"),
    ],
)
def test_what_is_at_fault_is_named_and_nothing_is_left(tmp_path, file, content, message):
    root = make(tmp_path)
    (root / file).unlink() if content is None else (root / file).write_text(content)
    with pytest.raises(DataError, match=message):
        prepare_cub200(root, expected=COUNTS, workers=1)
    assert [path.name for path in root.iterdir()] == ["raw"]


def test_a_segmentation_of_another_size_is_an_error(tmp_path):
    root = make(tmp_path)
    (root / SEGMENTATIONS / CLASSES[1] / "Laysan_Albatross_0002_10.png").write_bytes(grey_png(seen_by((8, 9))))
    with pytest.raises(DataError, match=r"0002_10\.png: is 8 x 9, its image 8 x 8"):
        prepare_cub200(root, expected=COUNTS, workers=1)


def test_another_number_of_pictures_is_an_error(tmp_path):
    with pytest.raises(DataError, match="split 'train' has 2 images, the published one 5,994"):
        prepare_cub200(make(tmp_path), workers=1)
