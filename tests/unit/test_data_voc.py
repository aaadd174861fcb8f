"""PASCAL VOC's layout: written and read back, hand-written annotations, and what can be wrong with them."""

import re

import numpy as np
import pytest
from PIL import Image

from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import Box
from seedbed.data.voc import (
    VOC_CLASSES,
    make_voc_folders,
    read_annotation,
    read_image_list,
    read_voc,
    write_image_lists,
    write_voc_item,
)
from seedbed.errors import DataError

SPLITS = {"train": "Segmentation/train", "val": "Segmentation/val"}
ANNOTATION = """<?xml version="1.0"?>
<annotation>
  <size><width>500</width><height>375</height></size>
  <object>
    <name> person </name>
    <bndbox><xmax>40</xmax><xmin>10.6</xmin><ymin>20</ymin><ymax>50.4</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></part>
  </object>
  <object>
    <name>dog</name><difficult>1</difficult>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
  </object>
</annotation>
"""


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "VOCdevkit"
    make_voc_folders(base)
    rng = np.random.default_rng(0)
    for image, boxes in {
        "a": [Box("cat", 1, 2, 3, 4), Box("dog", 2, 2, 3, 3), Box("cat", 1, 1, 2, 2)],
        "b": [],
    }.items():
        pixels, mask = rng.integers(0, 256, (6, 8, 3), np.uint8), rng.integers(0, 3, (6, 8)).astype(np.uint8)
        write_voc_item(base, image, pixels, mask, boxes)
    write_image_lists(base, {"Segmentation/train": ["a"], "Segmentation/val": ["b", "a"]})
    return tmp_path


def test_what_is_written_is_read_back(root):
    first, second = read_voc(root, "VOCdevkit", SPLITS)
    assert (first.image, first.splits, first.labels, first.size) == ("a", ("train", "val"), ("cat", "dog"), (6, 8))
    assert first.boxes == (Box("cat", 1, 2, 3, 4), Box("dog", 2, 2, 3, 3), Box("cat", 1, 1, 2, 2))
    assert (second.splits, second.labels, second.boxes) == (("val",), (), ())
    assert (first.path, first.mask) == ("VOCdevkit/JPEGImages/a.jpg", "VOCdevkit/SegmentationClass/a.png")
    assert read_picture(root / first.path).shape == (6, 8, 3)
    assert read_mask(root / first.mask, (6, 8), 2).max() == 2


def test_pictures_without_a_mask(root):
    (root / "VOCdevkit/SegmentationClass/b.png").unlink()
    assert [record.mask is None for record in read_voc(root, "VOCdevkit", SPLITS)] == [False, True]


def test_annotation_by_hand(tmp_path):
    (tmp_path / "a.xml").write_text(ANNOTATION)
    assert read_annotation(tmp_path / "a.xml") == [Box("person", 11, 20, 40, 50), Box("dog", 1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("</annotation>", "", "no element found"),
        ("<name>dog</name>", "", "object 2 has no name"),
        ("<name>dog</name>", "<name> </name>", "object 2 has no name"),
        ("<xmin>10.6</xmin>", "", "object 1 has no bndbox/xmin"),
        ("<xmin>10.6</xmin>", "<xmin>left</xmin>", "'left'"),
        ("<xmin>10.6</xmin>", "<xmin>inf</xmin>", "infinity"),
        ("<xmin>10.6</xmin>", "<xmin>nan</xmin>", "NaN"),
        ('<?xml version="1.0"?>', '<?xml version="1.0" encoding="klingon"?>', "encoding"),
    ],
)
def test_malformed_annotations_are_named(tmp_path, old, new, problem):
    (tmp_path / "a.xml").write_text(ANNOTATION.replace(old, new))
    with pytest.raises(DataError, match=rf"a\.xml: not a PASCAL VOC annotation \(.*{problem}"):
        read_annotation(tmp_path / "a.xml")


def test_missing_and_empty_annotations_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.xml: no such annotation"):
        read_annotation(tmp_path / "gone.xml")
    (tmp_path / "empty.xml").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.xml: not a PASCAL VOC annotation"):
        read_annotation(tmp_path / "empty.xml")
    (tmp_path / "none.xml").write_text("<annotation></annotation>")
    assert read_annotation(tmp_path / "none.xml") == []


def test_lists_of_images(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf2007_1 -1\r\n2007_2  1\r\n\r\n 2007_3\n")
    assert read_image_list(tmp_path / "a.txt") == ["2007_1", "2007_2", "2007_3"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\n\n", "lists no image"), (b"b\na\nb\nc\na\n", "lists a, b more than once"), (b"\xff", "not UTF-8")],
)
def test_lists_that_cannot_be_meant(tmp_path, content, problem):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.txt: .*{problem}"):
        read_image_list(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ("ImageSets/Segmentation/val.txt", "no such list of images"),
        ("JPEGImages/b.jpg", "no such image; the list of images names it"),
        ("Annotations/b.xml", "no such annotation"),
    ],
)
def test_missing_files_are_named(root, missing, problem):
    (root / "VOCdevkit" / missing).unlink()
    with pytest.raises(DataError, match=re.escape(missing) + ": " + problem):
        list(read_voc(root, "VOCdevkit", SPLITS))


def test_a_picture_without_a_header_is_named(root):
    (root / "VOCdevkit/JPEGImages/b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.jpg: corrupt or not an image"):
        list(read_voc(root, "VOCdevkit", SPLITS))


def test_jpegs_are_near_their_pixels(root):
    smooth = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8)[:, None, None], (32, 32, 3)).copy()
    write_voc_item(root / "VOCdevkit", "s", smooth, np.zeros((32, 32), np.uint8), [])
    stored = np.asarray(Image.open(root / "VOCdevkit/JPEGImages/s.jpg")).astype(int)
    assert np.abs(stored - smooth).max() <= 6


def test_the_twenty_classes():
    assert len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 20
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)
    assert (VOC_CLASSES[0], VOC_CLASSES[14], VOC_CLASSES[19]) == ("aeroplane", "person", "tvmonitor")
