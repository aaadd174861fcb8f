"""VOC 2012 with SBD, from miniature archives of the true layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mini_archives import (
    SBD_LISTS,
    VOC_LISTS,
    VOC_SIZES,
    into_raw,
    mat,
    sbd,
    sbd_mask,
    sbd_mat,
    voc_mask,
    voc_test,
    voc_trainval,
)
from PIL import Image

from seedbed.data.card import write_card
from seedbed.data.index import Box, read_index, write_index
from seedbed.data.published.voc12 import EXPECTED, MASKS, SBD, VOC, augmented, prepare_voc12, read_sbd_mask
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask, voc_palette

COUNTS = {"train": 2, "trainaug": 5, "val": 2}


@pytest.fixture
def raw(tmp_path):
    archives = {"voc12_trainval": voc_trainval(tmp_path / "v.tar"), "sbd": sbd(tmp_path / "benchmark.tgz")}
    return into_raw(tmp_path / "voc12", **archives)


def test_the_published_numbers_are_expected():
    assert EXPECTED == {"train": 1464, "trainaug": 10582, "val": 1449}


def test_splits_labels_masks_and_boxes(raw):
    index = prepare_voc12(raw, expected=COUNTS, workers=1)
    assert index.splits() == COUNTS
    records = {record.image: record for record in index.records}
    assert [record.image for record in index.split("trainaug")] == [
        "2007_000032", "2007_000039", "2008_000008", "2008_000015", "2011_003276",
    ]  # fmt: skip
    plane = records["2007_000032"]
    assert plane.splits == ("train", "trainaug")
    assert plane.labels == ("aeroplane", "person")
    assert plane.boxes[1] == Box("person", 4, 5, 8, 20)  # the difficult one
    assert plane.size == (30, 50) and plane.path == f"{VOC}/JPEGImages/2007_000032.jpg"
    screen = records["2007_000039"]
    assert (screen.splits, screen.labels) == (("trainaug",), ("tvmonitor",))
    assert screen.boxes == (Box("tvmonitor", 11, 5, 40, 30),)
    assert screen.mask == f"{MASKS}/2007_000039.png"
    assert records["2007_000033"].splits == ("val",)  # though SBD has it too


def test_masks_are_vocs_where_there_is_one_and_sbds_otherwise(raw):
    index = prepare_voc12(raw, expected=COUNTS, workers=2)
    for record in index.records:
        own = record.image in VOC_LISTS["train"] + VOC_LISTS["val"]
        expected = voc_mask(record.image) if own else sbd_mask(record.image)
        np.testing.assert_array_equal(decode_mask(raw / record.mask), expected)
    with Image.open(raw / MASKS / "2008_000015.png") as picture:
        assert picture.mode == "P" and bytes(picture.getpalette()) == voc_palette()
    assert sorted(path.stem for path in (raw / MASKS).iterdir()) == ["2007_000039", "2008_000015", "2011_003276"]


def test_index_and_card_are_written_like_any_other(raw):
    index = prepare_voc12(raw, expected=COUNTS, workers=1)
    write_index(index)
    write_card(index, "voc12", "free", {})
    assert read_index(raw) == index


def test_workers_do_not_change_the_result(raw):
    assert prepare_voc12(raw, expected=COUNTS, workers=1) == prepare_voc12(raw, expected=COUNTS, workers=3)


def test_test_pictures_are_listed_if_they_are_there(raw, tmp_path):
    into_raw(raw, voc12_test=voc_test(tmp_path / "t.tar"))
    index = prepare_voc12(raw, expected=COUNTS, expected_test=1, workers=1)
    (record,) = index.split("test")
    assert (record.image, record.labels, record.mask, record.size) == ("2008_000006", (), None, (31, 41))
    with pytest.raises(DataError, match="split 'test' has 1 images, the published one 1,456"):
        prepare_voc12(raw, expected=COUNTS, workers=1)


def test_another_number_of_pictures_is_an_error_and_leaves_nothing(raw):
    with pytest.raises(DataError, match="split 'train' has 2 images, the published one 1,464"):
        prepare_voc12(raw, workers=1)
    with pytest.raises(DataError, match="split 'trainaug' has 5 images, the published one 6"):
        prepare_voc12(raw, expected=COUNTS | {"trainaug": 6}, workers=1)
    assert sorted(path.name for path in raw.iterdir()) == ["raw"]


@given(*(st.sets(st.integers(0, 30).map(str)) for _ in range(3)))
def test_trainaug_is_the_union_without_val(train, val, sbd_ids):
    result = augmented(train - val, val, sbd_ids)
    assert result == sorted(set(result)) and not set(result) & val
    assert set(result) | val == train | sbd_ids | val


@pytest.mark.parametrize("image", SBD_LISTS["train"])
def test_sbd_masks_are_read(raw, image):
    mask = read_sbd_mask(raw / SBD / "cls" / f"{image}.mat")
    assert mask.dtype == np.uint8 and mask.shape == VOC_SIZES[image]
    np.testing.assert_array_equal(mask, sbd_mask(image))


def test_damaged_sbd_masks_are_named(tmp_path):
    path = tmp_path / "x.mat"
    with pytest.raises(DataError, match=r"x\.mat: no such SBD mask"):
        read_sbd_mask(path)
    good = sbd_mat(sbd_mask("2007_000039"))
    for content in (b"", b"<html>", good[:200], good[:-20], mat("GTinst", np.zeros((2, 2)))):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.mat: not an SBD mask"):
            read_sbd_mask(path)
    path.write_bytes(sbd_mat(np.full((3, 4), 21, np.uint8)))
    with pytest.raises(DataError, match=r"x\.mat: its 'Segmentation' must be \[H, W\] with values 0\.\.20"):
        read_sbd_mask(path)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (f"{SBD}/cls/2007_000039.mat", b"", r"2007_000039\.mat: not an SBD mask"),
        (f"{SBD}/cls/2007_000039.mat", sbd_mat(np.zeros((9, 9), np.uint8)), "the mask is 9 x 9, its image 37 x 50"),
        (f"{SBD}/val.txt", None, r"val\.txt: no such list"),
        (f"{VOC}/Annotations/2008_000015.xml", b"<annotation>", r"2008_000015\.xml: not a PASCAL VOC annotation"),
        (f"{VOC}/JPEGImages/2008_000015.jpg", None, r"2008_000015\.jpg: no such image"),
        (f"{VOC}/SegmentationClass/2007_000042.png", None, r"2007_000042\.png: no such mask"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_left(raw, workers, file, content, message):
    (raw / file).unlink() if content is None else (raw / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        prepare_voc12(raw, expected=COUNTS, workers=workers)
    assert sorted(path.name for path in raw.iterdir()) == ["raw"]
