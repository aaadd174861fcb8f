"""Masks made elsewhere against the truth: counted by hand, and published ones with their published score."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seedbed.data.index import DataIndex, Record
from seedbed.data.truth_folder import read_truth_folder
from seedbed.errors import DataError
from seedbed.evaluate.mask_files import read_prediction, score_mask_files
from seedbed.io.atomic import read_json
from seedbed.io.masks import encode_mask, voc_palette
from seedbed.report.scored_masks import class_lines, draw_worst, summary, write_scores

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "pseudo-masks-sample"
TRUTHS = {
    "a": np.array([[0, 0, 1, 1], [0, 255, 1, 1]], np.uint8),
    "b": np.array([[2, 2, 0, 0], [2, 2, 0, 0]], np.uint8),
}
MASKS = {
    "a": np.array([[0, 1, 1, 1], [0, 3, 1, 255]], np.uint8),
    "b": np.array([[2, 2, 0, 0], [0, 2, 0, 0]], np.uint8),
}


def write_masks(folder, masks):
    folder.mkdir(exist_ok=True, parents=True)
    for name, mask in masks.items():
        (folder / f"{name}.png").write_bytes(encode_mask(mask))
    return folder


@pytest.fixture
def index(tmp_path):
    write_masks(tmp_path / "truth", TRUTHS)
    (tmp_path / "truth/classes.txt").write_text("cat\ndog\ncow\n")
    return read_truth_folder(tmp_path / "truth")


def test_scores_by_hand(index, tmp_path):
    scores = score_mask_files(index, index.records, write_masks(tmp_path / "made", MASKS))
    found = scores.metrics("in_truth")
    ious = {"background": 6 / 8, "cat": 3 / 5, "dog": 3 / 4}
    assert {name: found[f"iou_{name}"] for name in ious} == pytest.approx(ious)
    assert np.isnan(found["iou_cow"])
    total = sum(ious.values())
    assert (found["miou_all_classes"], found["miou_in_truth"], found["miou_in_either"]) == pytest.approx(
        (total / 4, total / 3, total / 3)
    )
    assert found["miou"] == found["miou_in_truth"] and found["classes_left_out"] == 1
    assert found["pixel_accuracy"] == pytest.approx(12 / 15) and found["void"] == pytest.approx(1 / 15)
    assert found["images"] == 2 and scores.remarks == []
    # a: background 2/3, cat 3/5; b: background 4/5, dog 3/4.
    assert scores.images == pytest.approx({"a": (2 / 3 + 3 / 5) / 2, "b": (4 / 5 + 3 / 4) / 2})
    assert scores.worst(1) == ["a"]
    assert class_lines(scores)[2:] == [
        ("cat", pytest.approx(3 / 5), 4, 4, 3),
        ("dog", pytest.approx(3 / 4), 4, 3, 3),
        ("cow", "", 0, 0, 0),
    ]


def test_what_is_written_and_said(index, tmp_path):
    scores = score_mask_files(index, index.records, write_masks(tmp_path / "made", MASKS))
    write_scores(tmp_path / "out", scores, index, index.records, "all_classes", {"seed": 1})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json",
        "classes.csv",
        "images.csv",
        "worst.png",
    }
    metrics = read_json(tmp_path / "out/metrics.json")
    assert metrics["miou"] == metrics["miou_all_classes"] and metrics["iou_cow"] is None
    assert (tmp_path / "out/images.csv").read_text().splitlines()[1].startswith("a,0.633")
    text = summary(scores)
    for line in ("2 images, 4 classes", "mIoU  52.50 %  all_classes", "mIoU  70.00 %  in_truth", "cow             -"):
        assert line in text
    with Image.open(io.BytesIO(draw_worst(scores, index, index.records))) as page:
        assert page.height > 200


def test_images_without_a_mask_and_masks_of_no_image_are_counted(index, tmp_path):
    made = write_masks(tmp_path / "made", {"b": MASKS["b"], "z": MASKS["a"]})
    scores = score_mask_files(index, index.records, made)
    assert set(scores.images) == {"b"}
    first, second = scores.remarks
    assert "1 of 2 images have no mask here: a" in first and "1 masks are of no image that is scored: z" in second


def test_masks_that_cannot_be_scored_are_all_named(index, tmp_path):
    made = write_masks(tmp_path / "made", {"a": MASKS["a"][:1], "b": MASKS["b"] + 2})
    with pytest.raises(DataError) as caught:
        score_mask_files(index, index.records, made)
    assert "a.png: Prediction (1, 4) and ground truth (2, 4) differ in shape" in str(caught.value)
    assert "b.png: Label 4 in the prediction is outside 0..3" in str(caught.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, "holds no mask"),
        ({"x": MASKS["a"]}, r"none of its 1 masks \(x\) is named as one of 2 images \(a, b\)"),
    ],
)
def test_nothing_to_score(index, tmp_path, made, message):
    with pytest.raises(DataError, match=message):
        score_mask_files(index, index.records, write_masks(tmp_path / "made", made))
    with pytest.raises(DataError, match="no such folder of masks"):
        score_mask_files(index, index.records, tmp_path / "gone")
    bare = DataIndex(tmp_path, ("cat",), (Record("a", ("val",), (), "", None, (2, 4)),))
    with pytest.raises(DataError, match="None of the 1 images has a ground-truth mask"):
        score_mask_files(bare, bare.records, write_masks(tmp_path / "made", MASKS))


def test_masks_in_vocs_colours_are_read(tmp_path):
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    Image.fromarray(palette[MASKS["a"]]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_prediction(tmp_path / "a.png"), MASKS["a"])
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png: the colour \(1, 2, 3\) is not in the list"):
        read_prediction(tmp_path / "b.png")


def test_classes_of_a_folder_of_truth(tmp_path):
    folder = write_masks(tmp_path / "data/truth", TRUTHS)
    assert read_truth_folder(folder).classes[:2] == ("aeroplane", "bicycle")
    assert read_truth_folder(tmp_path / "data") == read_truth_folder(folder)
    for name, mask in TRUTHS.items():
        Image.fromarray(mask).save(folder / f"{name}.png")
    assert read_truth_folder(folder).classes == ("class_1", "class_2")
    (tmp_path / "data/classes.txt").write_text("x\ny\n")
    assert read_truth_folder(folder).classes == ("x", "y")
    (folder / "c.png").write_bytes(b"no image")
    (folder / "d.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"c\.png: not a readable mask .*\n.*d\.png: not a readable"):
        read_truth_folder(folder)
    with pytest.raises(DataError, match="holds no ground-truth mask"):
        read_truth_folder(write_masks(tmp_path / "empty", {}))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="published masks are not part of the project")
def test_published_masks_score_what_their_readme_says():
    index = read_truth_folder(PUBLISHED)
    found = score_mask_files(index, index.records, PUBLISHED / "masks").metrics("all_classes")
    assert found["images"] == 200 and len(index.classes) == 20
    for name in ("miou", "miou_in_truth", "miou_in_either"):
        assert found[name] == pytest.approx(0.652294, abs=5e-7)
    assert found["pixel_accuracy"] == pytest.approx(0.900557, abs=5e-7)
