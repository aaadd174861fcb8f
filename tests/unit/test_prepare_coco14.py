"""COCO 2014: the mapping of its 91 ids, labels, and masks painted from polygons and run lengths."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mini_archives import coco_instances, into_raw, jpeg, zipped
from pycocotools import mask as rle_tools

from seedbed.data.coco_annotations import CocoImage, _uncompressed, paint, read_instances
from seedbed.data.index import read_index, write_index
from seedbed.data.published.coco14 import CATEGORY_IDS, CLASSES, EXPECTED, image_id, instances_file, prepare_coco14
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask

# From COCO's own list, written down here a second time: class index -> (category id, name).
KNOWN = {
    **{0: (1, "person"), 10: (11, "fire_hydrant"), 11: (13, "stop_sign"), 24: (27, "backpack"), 39: (44, "bottle")},
    **{60: (67, "dining_table"), 61: (70, "toilet"), 62: (72, "tv"), 72: (82, "refrigerator"), 79: (90, "toothbrush")},
}
CATEGORIES = [
    {"id": number, "name": name.replace("_", " "), "supercategory": "x"}
    for number, name in reversed(list(zip(CATEGORY_IDS, CLASSES, strict=True)))
]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")
COUNTS = {"train": 2, "trainaug": 2, "val": 1}


SHAPE = rle_tools.encode(np.asfortranarray(np.eye(20, 30, dtype=np.uint8)))["counts"].decode()


def box_polygon(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def annotation(number, image, category, segmentation, crowd=0):
    return {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": segmentation}


def run_lengths(mask):
    """Uncompressed, as COCO writes crowds: lengths of runs of 0 and 1 in turn, columns first."""
    flat = mask.ravel(order="F").astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if flat[0] == 0 else [0, *counts]}


CROWD = np.zeros((40, 60), bool)
CROWD[30:, :] = True
TRAIN = [
    annotation(1, 9, 3, [box_polygon(0, 0, 10, 10)]),  # the small car lies on the large one, though listed first
    annotation(2, 9, 3, [box_polygon(0, 0, 30, 20), box_polygon(40, 0, 50, 5)]),
    annotation(3, 9, 90, [box_polygon(5, 25, 20, 38)]),
    annotation(4, 9, 1, run_lengths(CROWD), crowd=1),
    annotation(5, 25, 13, [box_polygon(2, 2, 8, 8)]),
]
VAL = [annotation(6, 42, 1, [box_polygon(1, 1, 5, 5)])]


@pytest.fixture
def raw(tmp_path):
    train = [(9, 40, 60), (25, 30, 20), (30, 10, 10)]
    val = [(42, 12, 14)]
    annotations = {
        "annotations/instances_train2014.json": coco_instances("train", train, TRAIN, CATEGORIES),
        "annotations/instances_val2014.json": coco_instances("val", val, VAL, CATEGORIES),
    }
    archives = {"coco14_annotations": zipped(tmp_path / "a.zip", annotations)}
    for split, images in (("train", train), ("val", val)):
        files = {f"{split}2014/COCO_{split}2014_{i:012d}.jpg": jpeg(height, width) for i, height, width in images}
        archives[f"coco14_{split}"] = zipped(tmp_path / f"{split}.zip", files)
    return into_raw(tmp_path / "coco14", **archives)


def test_the_80_classes_and_their_ids():
    assert len(CLASSES) == len(CATEGORY_IDS) == len(set(CLASSES)) == 80
    assert list(CATEGORY_IDS) == sorted(CATEGORY_IDS) and CATEGORY_IDS[-1] == 90
    assert {k: (CATEGORY_IDS[k], CLASSES[k]) for k in KNOWN} == KNOWN
    assert {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}.isdisjoint(CATEGORY_IDS)
    assert not any(" " in name for name in CLASSES)


def test_the_published_numbers_are_expected():
    assert EXPECTED == {"train": 82081, "trainaug": 82081, "val": 40137}


@pytest.mark.parametrize("workers", [1, 2])
def test_splits_labels_and_masks(raw, workers):
    index = prepare_coco14(raw, expected=COUNTS, workers=workers)
    assert index.splits() == dict(sorted(COUNTS.items()))
    assert index.classes == CLASSES
    street = index.split("train")[0]
    assert street.image == "COCO_train2014_000000000009" and street.size == (40, 60)
    assert street.labels == ("person", "car", "toothbrush")  # the crowd counts as a label
    mask = decode_mask(raw / street.mask)
    assert mask.shape == (40, 60)
    assert mask[5, 5] == mask[15, 25] == mask[2, 45] == 3  # car: id 3, value 3
    assert mask[28, 10] == 80 and mask[35, 10] == 80  # toothbrush: id 90, value 80, above the crowd
    assert mask[35, 40] == 255 and mask[25, 40] == 0
    assert set(np.unique(mask)) == {0, 3, 80, 255}
    sign = index.split("train")[1]
    assert sign.labels == ("stop_sign",) and set(np.unique(decode_mask(raw / sign.mask))) == {0, 12}
    assert [record.image for record in index.split("val")] == ["COCO_val2014_000000000042"]
    write_index(index)
    assert read_index(raw) == index


def test_small_instances_lie_over_large_ones_in_any_order():
    square = [annotation(k, 1, k + 1, [box_polygon(0, 0, side, side)]) for k, side in enumerate((4, 12, 8))]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        image = CocoImage(1, "x.jpg", (20, 20), tuple(square[k] for k in order))
        mask = paint(image, {1: 1, 2: 2, 3: 3})
        assert (mask[2, 2], mask[6, 6], mask[10, 10], mask[15, 15]) == (1, 3, 2, 0)


def test_all_three_ways_to_write_a_segmentation_paint_the_same():
    shape = np.zeros((20, 30), bool)
    shape[3:9, 4:17] = True
    compressed = rle_tools.encode(np.asfortranarray(shape.astype(np.uint8)))
    ways = [
        [box_polygon(4, 3, 17, 9)],
        run_lengths(shape),
        compressed,
        {"size": [20, 30], "counts": compressed["counts"].decode()},
    ]
    for way in ways:
        mask = paint(CocoImage(1, "x.jpg", (20, 30), (annotation(1, 1, 1, way),)), {1: 7})
        np.testing.assert_array_equal(mask, shape.astype(np.uint8) * 7)


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, float("nan"), 6]],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [["a", 0, 1, 0, 1, 1]],
        {"size": [9, 9], "counts": [81]},
        {"size": [20, 30]},
        {"size": [20, 30], "counts": [5, 5]},
        {"size": [20, 30], "counts": [700]},
        {"size": [20, 30], "counts": ["a"]},
        {"size": [20, 30], "counts": [300, -1, 301]},
        {"size": [20, 30], "counts": []},
        {"size": [20, 30], "counts": ""},
        {"size": [20, 30], "counts": SHAPE[:7]},
        {"size": [20, 30], "counts": SHAPE[:-1]},
        7,
    ],
)
def test_a_segmentation_that_does_not_parse_is_named(segmentation):
    image = CocoImage(1, "x.jpg", (20, 30), (annotation(55, 1, 1, segmentation),))
    with pytest.raises(DataError, match=r"x\.jpg: the segmentation of annotation 55"):
        paint(image, {1: 1})


@given(arrays(np.uint8, (7, 9), elements=st.integers(0, 1)))
def test_compressed_run_lengths_are_read_as_written(shape):
    written = rle_tools.encode(np.asfortranarray(shape))
    image = CocoImage(1, "x.jpg", (7, 9), (annotation(1, 1, 1, written),))
    np.testing.assert_array_equal(paint(image, {1: 1}), shape)
    assert _uncompressed(written["counts"]) == run_lengths(shape)["counts"]


def test_ground_truth_for_cocos_own_measures_is_found(raw):
    index = prepare_coco14(raw, expected=COUNTS, workers=1)
    record = index.split("trainaug")[0]
    images = json.loads(instances_file(raw, "trainaug").read_text())["images"]
    assert image_id(record.image) == 9 and any(image["id"] == 9 for image in images)
    assert instances_file(raw, "val").is_file()


def test_another_number_of_pictures_is_an_error_and_leaves_nothing(raw):
    with pytest.raises(DataError, match="split 'train' has 2 images, the published one 82,081"):
        prepare_coco14(raw, workers=1)
    assert sorted(path.name for path in raw.iterdir()) == ["raw"]


def test_a_picture_of_another_size_is_an_error(raw):
    (raw / "raw/coco14_val/val2014/COCO_val2014_000000000042.jpg").write_bytes(jpeg(14, 12))
    with pytest.raises(DataError, match=r"000042\.jpg: is 14 x 12, its annotations are for \(12, 14\)"):
        prepare_coco14(raw, expected=COUNTS, workers=2)


def test_other_categories_are_an_error(raw):
    path = instances_file(raw, "train")
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "toothpick"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"not the 80 categories .*toothpick"):
        prepare_coco14(raw, expected=COUNTS, workers=1)


def test_annotations_that_do_not_parse_are_named(tmp_path):
    path = tmp_path / "a.json"
    good = json.loads(coco_instances("train", [(9, 5, 5)], [annotation(1, 9, 1, [])], CATEGORIES))
    with pytest.raises(DataError, match=r"a\.json: no such annotations"):
        read_instances(path)
    cases = {
        "not JSON": "{",
        "it needs the lists": json.dumps({"images": []}),
        "entry 0 of 'images' lacks height": json.dumps(good | {"images": [{"id": 9, "file_name": "x", "width": 1}]}),
        "entry 0 of 'annotations' lacks id": json.dumps(good | {"annotations": [{"image_id": 9, "category_id": 1}]}),
        "annotation 1 has the unknown category 12": json.dumps(good | {"annotations": [annotation(1, 9, 12, [])]}),
        "annotations of images that it does not list: .8": json.dumps(
            good | {"annotations": [annotation(1, 8, 1, [])]}
        ),
    }
    for message, text in cases.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_instances(path)
