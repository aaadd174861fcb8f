"""ImageNet's validation part: the order of classes, labels from the devkit, boxes."""

import numpy as np
import pytest
from mini_archives import imagenet_boxes, imagenet_devkit, imagenet_val, into_raw, mat

from seedbed.data.index import Box, read_index, write_index
from seedbed.data.published.imagenet import BOXES, DEVKIT, EXPECTED, IMAGES, prepare_imagenet, read_synsets
from seedbed.errors import DataError

# Numbers of the devkit do not follow the order of WordNet ids; inner nodes come after the classes.
SYNSETS = [
    (1, "n02119789", "kit fox, Vulpes macrotis", 0),
    (2, "n02012849", "crane", 0),
    (3, "n03126707", "crane", 0),
    (4, "n03590841", "jack-o'-lantern", 0),
    (5, "n00001740", "entity: all", 3),
]
NAMES = ("n02012849_crane", "n02119789_kit_fox", "n03126707_crane", "n03590841_jack-o_-lantern")
TRUTH = [3, 1, 1, 4, 2]
SIZES = [(10, 20), (12, 8), (9, 9), (5, 7), (6, 6)]
OBJECTS = [
    [("n03126707", (1, 2, 10, 9)), ("n03126707", (3, 3, 6, 6))],
    [("n02119789", (0, 0, 7, 11))],
    [("n02119789", (1, 1, 2, 2))],
    [("n03590841", (1, 1, 2, 2))],
    [("n02012849", (1, 1, 2, 2))],
]
COUNTS = {"expected": {"val": 5}, "num_classes": 4}


@pytest.fixture
def raw(tmp_path):
    return into_raw(
        tmp_path / "imagenet",
        imagenet_val=imagenet_val(tmp_path / "v.tar", SIZES),
        imagenet_devkit=imagenet_devkit(tmp_path / "d.tar.gz", SYNSETS, TRUTH),
    )


def test_the_published_numbers_are_expected():
    assert EXPECTED == {"val": 50000}


def test_classes_are_in_the_order_of_their_ids_and_unique(raw):
    synsets = read_synsets(raw / DEVKIT / "meta.mat")
    assert tuple(synset.name for synset in synsets) == NAMES
    assert [synset.number for synset in synsets] == [2, 1, 3, 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_and_labels(raw, workers):
    index = prepare_imagenet(raw, **COUNTS, workers=workers)
    assert index.classes == NAMES and index.splits() == {"val": 5}
    assert [index.class_indices(record) for record in index.records] == [(2,), (1,), (1,), (3,), (0,)]
    first = index.records[0]
    assert (first.image, first.size, first.boxes) == ("ILSVRC2012_val_00000001", (10, 20), ())
    assert first.path == f"{IMAGES}/ILSVRC2012_val_00000001.JPEG" and first.mask is None
    write_index(index)
    assert read_index(raw) == index


def test_boxes_are_taken_as_published_if_they_are_there(raw, tmp_path):
    into_raw(raw, imagenet_val_boxes=imagenet_boxes(tmp_path / "b.tgz", OBJECTS))
    index = prepare_imagenet(raw, **COUNTS, workers=1)
    assert index.records[0].boxes == (Box(NAMES[2], 1, 2, 10, 9), Box(NAMES[2], 3, 3, 6, 6))
    assert index.records[1].boxes == (Box(NAMES[1], 0, 0, 7, 11),)


def test_pictures_may_lie_in_folders_of_their_classes(tmp_path):
    wnids = ["n03126707", "n02119789", "n02119789", "n03590841", "n02012849"]
    raw = into_raw(
        tmp_path / "imagenet",
        imagenet_val=imagenet_val(tmp_path / "v.tar", SIZES, wnids),
        imagenet_devkit=imagenet_devkit(tmp_path / "d.tar.gz", SYNSETS, TRUTH),
    )
    index = prepare_imagenet(raw, **COUNTS, workers=1)
    assert index.records[3].path == f"{IMAGES}/n03590841/ILSVRC2012_val_00000004.JPEG"
    twin = raw / IMAGES / "ILSVRC2012_val_00000004.JPEG"
    twin.write_bytes((raw / index.records[3].path).read_bytes())
    with pytest.raises(DataError, match=r"holds ILSVRC2012_val_00000004\.JPEG twice"):
        prepare_imagenet(raw, **COUNTS, workers=1)


def test_what_does_not_match_is_named(raw, tmp_path):
    with pytest.raises(DataError, match="has 4 classes, not 1000"):
        prepare_imagenet(raw, workers=1)
    with pytest.raises(DataError, match="split 'val' has 5 images, the published one 50,000"):
        prepare_imagenet(raw, num_classes=4, workers=1)
    into_raw(raw, imagenet_val_boxes=imagenet_boxes(tmp_path / "b.tgz", OBJECTS[:4]))
    with pytest.raises(DataError, match="boxes of 4 images, not of 5"):
        prepare_imagenet(raw, **COUNTS, workers=1)
    strange = [[("n99999999", (1, 1, 2, 2))], *OBJECTS[1:]]
    into_raw(raw, imagenet_val_boxes=imagenet_boxes(tmp_path / "c.tgz", strange))
    with pytest.raises(DataError, match=r"00000001\.xml: Unknown WordNet id 'n99999999'"):
        prepare_imagenet(raw, **COUNTS, workers=1)
    (raw / IMAGES / "ILSVRC2012_val_00000002.JPEG").unlink()
    with pytest.raises(DataError, match="4 images for 5 labels of the devkit; ILSVRC2012_val_00000002 has one only"):
        prepare_imagenet(raw, **COUNTS, workers=1)
    assert (raw / BOXES).is_dir()


def test_a_damaged_devkit_is_named(raw):
    truth = raw / DEVKIT / "ILSVRC2012_validation_ground_truth.txt"
    for text in ("3 1 1 4 9", "3 1 1 4 x"):
        truth.write_text(text)
        with pytest.raises(DataError, match=r"ground_truth\.txt: .*is no class number"):
            prepare_imagenet(raw, **COUNTS, workers=1)
    truth.unlink()
    with pytest.raises(DataError, match=r"ground_truth\.txt: no such file"):
        prepare_imagenet(raw, **COUNTS, workers=1)
    meta = raw / DEVKIT / "meta.mat"
    for content in (b"", b"<html>", meta.read_bytes()[:300], mat("other", np.zeros(2)), mat("synsets", np.zeros(2))):
        meta.write_bytes(content)
        with pytest.raises(DataError, match=r"meta\.mat: not the devkit's table"):
            read_synsets(meta)
    meta.unlink()
    with pytest.raises(DataError, match=r"meta\.mat: no such file"):
        read_synsets(meta)
