"""Masks as files: what other programs read back is what was exported."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools.coco import COCO

from seedbed.data.coco_annotations import paint, read_instances
from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask, encode_mask, voc_palette
from seedbed.params.stages import Scoring
from seedbed.report.export import coco_annotations, export_masks, summary
from seedbed.report.overview import draw_overview

CLASSES = ("cat", "dog")
MASK = np.array([[0, 1, 1, 2], [0, 1, 255, 2], [0, 0, 0, 0]], np.uint8)


def index_of(root, sizes, truths=()):
    """Pictures a, b, ... of the given sizes; those named in ``truths`` have a ground-truth mask."""
    records = []
    for name, size in zip("abcdefgh", sizes, strict=False):
        Image.new("RGB", size[::-1], (90, 120, 30)).save(root / f"{name}.jpg")
        mask = f"{name}_truth.png" if name in truths else None
        records.append(Record(name, ("val",), ("cat",), f"{name}.jpg", mask, size))
    return DataIndex(root, CLASSES, tuple(records))


def test_annotations_by_hand(tmp_path):
    index = index_of(tmp_path, [(3, 4)])
    content = coco_annotations(index, index.records, {"a": MASK})
    assert content["images"] == [{"id": 1, "file_name": "a.jpg", "height": 3, "width": 4}]
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    cat, dog = content["annotations"]
    assert (cat["category_id"], cat["area"], cat["bbox"], cat["iscrowd"]) == (1, 3, [1.0, 0.0, 2.0, 2.0], 0)
    assert (dog["category_id"], dog["area"], dog["bbox"], dog["image_id"]) == (2, 2, [3.0, 0.0, 1.0, 2.0], 1)
    assert cat["segmentation"]["size"] == [3, 4] and isinstance(cat["segmentation"]["counts"], str)


@given(
    st.lists(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)), max_size=4)
)
def test_annotations_are_read_back_to_the_same_masks(tmp_path_factory, masks):
    folder = tmp_path_factory.mktemp("coco")
    index = index_of(folder, [mask.shape for mask in masks])
    named = dict(zip("abcdefgh", masks, strict=False))
    (folder / "coco.json").write_text(json.dumps(coco_annotations(index, index.records, named)))
    for image in read_instances(folder / "coco.json").images:
        assert (paint(image, {1: 1, 2: 2}) == named[image.file_name[0]]).all()


def test_the_folder_is_what_other_programs_expect(tmp_path, capsys):
    index = index_of(tmp_path, [(3, 4), (5, 5)], truths="a")
    (tmp_path / "a_truth.png").write_bytes(encode_mask(np.where(MASK == 255, 1, MASK)))
    masks = {"a": MASK, "b": np.zeros((5, 5), np.uint8)}
    exported = export_masks(tmp_path / "out", index, index.records, masks, Scoring(miou="in_either"), {"seed": 7})
    assert (exported.images, exported.covered, exported.empty) == (2, pytest.approx(5 / 12 / 2), 1)
    text = summary(exported, (*CLASSES, "cow"), "val")
    assert text.startswith("val: objects cover 20.8 % of the pixels of 2 images, 1 masks show none. mIoU ")
    assert "over 4 of 4 classes" in text and "1 images with a mask of yours" in text
    assert text.endswith("Objects cover 50.0 % of yours; background alone has 16.67 %.")
    nothing = {"a": np.zeros_like(MASK), "b": masks["b"]}
    useless = export_masks(tmp_path / "blank", index, index.records, nothing, Scoring(miou="in_either"), {})
    assert "These masks are little better: docs/own_data.md" in summary(useless, CLASSES, "val")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"masks", "classes.txt", "coco.json", "metrics.json", "overview.png"}
    assert (tmp_path / "out/classes.txt").read_text() == "cat\ndog\n"
    with Image.open(tmp_path / "out/masks/a.png") as picture:
        assert picture.mode == "P" and bytes(picture.getpalette()) == voc_palette()
    assert (decode_mask(tmp_path / "out/masks/a.png") == MASK).all()
    coco = COCO(tmp_path / "out/coco.json")
    assert (coco.annToMask(coco.loadAnns(coco.getAnnIds(catIds=[2]))[0]) == (MASK == 2)).all()
    assert coco.dataset["info"] == {"seed": 7}
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["images"] == 1 and metrics["iou_dog"] == 1.0 and metrics["iou_cat"] == pytest.approx(3 / 4)
    assert (tmp_path / "out/overview.png").read_bytes() == draw_overview(index, index.records, masks)


def test_without_ground_truth_nothing_is_measured(tmp_path):
    index = index_of(tmp_path, [(3, 4)])
    exported = export_masks(tmp_path / "out", index, index.records, {"a": MASK}, Scoring(), {})
    assert "No mask of yours to compare with: see overview.png" in summary(exported, CLASSES, "val")
    assert not (tmp_path / "out/metrics.json").exists() and (tmp_path / "out/overview.png").exists()


def test_a_mask_that_is_missing_leaves_the_old_folder(tmp_path):
    index = index_of(tmp_path, [(3, 4), (3, 4)], truths="ab")
    for name in "ab":
        (tmp_path / f"{name}_truth.png").write_bytes(encode_mask(MASK))
    export_masks(tmp_path / "out", index, index.records[:1], {"a": MASK}, Scoring(), {})
    with pytest.raises(KeyError):
        export_masks(tmp_path / "out", index, index.records, {"a": MASK}, Scoring(), {})
    with pytest.raises(DataError, match="differ in shape"):
        export_masks(tmp_path / "out", index, index.records[:1], {"a": MASK[:2]}, Scoring(), {})
    assert [path.name for path in (tmp_path / "out/masks").iterdir()] == ["a.png"]
