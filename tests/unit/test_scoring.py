"""Scores of a split against formulas written out pixel by pixel, and a classifier's accuracy."""

from dataclasses import replace

import numpy as np
import pytest

from seedbed.data.images import read_mask
from seedbed.data.index import DataIndex, Record
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.classification import classification_metrics
from seedbed.evaluate.scoring import ground_truth, score_heatmaps, score_masks
from seedbed.io.heatmaps import HeatMaps
from seedbed.io.masks import encode_mask
from seedbed.params.stages import Scoring

SCORING = Scoring()
TRUTHS = {
    "a": np.array([[0, 0, 1, 1], [0, 255, 1, 1]], np.uint8),
    "b": np.array([[2, 2, 0, 0], [2, 2, 255, 0]], np.uint8),
}


@pytest.fixture
def index(tmp_path):
    """Two images of 2 x 4 pixels and three classes, one of which never occurs."""
    for image, mask in TRUTHS.items():
        (tmp_path / f"{image}.png").write_bytes(encode_mask(mask))
    labels = {"a": ("cat",), "b": ("dog",)}
    records = tuple(Record(image, ("val",), labels[image], f"{image}.jpg", f"{image}.png", (2, 4)) for image in TRUTHS)
    return DataIndex(tmp_path, ("cat", "dog", "cow"), records)


def iou_by_hand(masks, label):
    """Intersection over union of one label over all pixels that are not void in the truth."""
    pairs = [(p, t) for image in TRUTHS for p, t in zip(masks[image].flat, TRUTHS[image].flat, strict=True) if t != 255]
    both = sum(p == t == label for p, t in pairs)
    either = sum(label in (p, t) for p, t in pairs)
    return both / either if either else float("nan")


MASKS = {
    "a": np.array([[0, 1, 1, 1], [0, 1, 1, 255]], np.uint8),
    "b": np.array([[2, 2, 0, 1], [0, 2, 0, 0]], np.uint8),
}


def test_masks_by_hand(index):
    found = score_masks(index, index.records, MASKS, SCORING)
    ious = [iou_by_hand(MASKS, label) for label in range(4)]
    assert ious[:3] == [4 / 7, 3 / 6, 3 / 4]
    assert [found["iou_background"], found["iou_cat"], found["iou_dog"]] == pytest.approx(ious[:3])
    assert np.isnan(found["iou_cow"])
    assert found["miou"] == pytest.approx(sum(ious[:3]) / 4)
    assert found["pixel_accuracy"] == pytest.approx(10 / 14)
    assert found["images"] == 2
    # Wrongly given to and missed of each class, over its union, averaged over all four classes.
    assert found["fp"] == pytest.approx((1 / 7 + 2 / 6 + 0) / 4)
    assert found["fn"] == pytest.approx((2 / 7 + 1 / 6 + 1 / 4) / 4)
    # The same over what is found of the two classes that are found, cats and dogs.
    assert found["fp_over_tp"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["fn_over_tp"] == pytest.approx((1 / 3 + 1 / 3) / 2)


@pytest.mark.parametrize(("convention", "count"), [("all_classes", 4), ("in_truth", 3), ("in_either", 3)])
def test_the_mean_is_over_the_named_classes(index, convention, count):
    total = sum(iou_by_hand(MASKS, label) for label in range(3))
    found = score_masks(index, index.records, MASKS, Scoring(miou=convention))
    assert found["miou"] == pytest.approx(total / count)
    assert found[f"miou_{convention}"] == found["miou"]


def test_each_convention_has_its_number_in_one_file(index):
    total = sum(iou_by_hand(MASKS, label) for label in range(3))
    found = score_masks(index, index.records, MASKS, SCORING)
    assert found["miou_all_classes"] == pytest.approx(total / 4)
    assert found["miou_in_truth"] == pytest.approx(total / 3)


def test_perfect_masks_score_one(shapes):
    masks = {r.image: read_mask(shapes.root / r.mask, r.size, len(shapes.classes)) for r in shapes.records}
    found = score_masks(shapes, shapes.records, masks, Scoring(miou="in_truth"))
    assert (found["miou"], found["pixel_accuracy"], found["fp"], found["fn"]) == (1, 1, 0, 0)


def test_pictures_that_cannot_be_scored_are_named(index):
    bare = replace(index.records[0], mask=None)
    with pytest.raises(DataError, match="image 'a' has no ground-truth mask, so it cannot be scored"):
        score_masks(index, [bare], MASKS, SCORING)
    with pytest.raises(DataError, match="differ in shape"):
        score_masks(index, index.records, {"a": np.zeros((3, 4), np.uint8)}, SCORING)
    with pytest.raises(DataError, match="Label 4 in the prediction"):
        score_masks(index, index.records, {"a": np.full((2, 4), 4, np.uint8)}, SCORING)
    few = DataIndex(index.root, ("cat",), index.records)
    with pytest.raises(DataError, match=r"b\.png: value 2 is neither a class"):
        ground_truth(few, index.records[1])


MAPS = {
    "a": HeatMaps(np.array([0]), np.array([[[0.1, 0.3, 0.5, 0.7], [0.2, 0.9, 0.6, 0.3]]], np.float32), (2, 4)),
    "b": HeatMaps(np.array([1]), np.array([[[0.8, 0.6, 0.4, 0.2], [0.3, 0.7, 0.1, 0.0]]], np.float32), (2, 4)),
}


def masks_at(threshold):
    """Background where no map exceeds the threshold, else the class of the image's one map."""
    return {
        image: np.where(heat.maps[0] > np.float32(threshold), heat.classes[0] + 1, 0).astype(np.uint8)
        for image, heat in MAPS.items()
    }


@pytest.mark.parametrize("background", [0.25, 0.42, 0.5])
def test_heat_maps_at_a_constant(index, background):
    found = score_heatmaps(index, index.records, MAPS, SCORING, background=background, sweep=False)
    expected = score_masks(index, index.records, masks_at(background), SCORING)
    assert {key: found[key] for key in expected} == pytest.approx(expected, nan_ok=True)
    assert found["background"] == background
    assert found["miou_at_background"] == found["miou"]
    assert found["undefined_maps"] == 0


def test_heat_maps_at_the_best_constant_of_a_sweep(index):
    scoring = Scoring(sweep_step=0.05, sweep_count=18)
    found = score_heatmaps(index, index.records, MAPS, scoring, background=0.42, sweep=True)
    grid = sorted({*(round(0.05 * k, 6) for k in range(18)), 0.42})
    curve = [score_masks(index, index.records, masks_at(threshold), SCORING)["miou"] for threshold in grid]
    assert found["curve_background"] == grid
    assert found["curve_miou"] == pytest.approx(curve)
    assert found["miou"] == found["miou_best"] == pytest.approx(max(curve))
    assert found["background"] == found["background_best"] == grid[int(np.argmax(curve))]
    assert found["miou_at_background"] == pytest.approx(curve[grid.index(0.42)])
    constant = score_heatmaps(index, index.records, MAPS, scoring, background=0.42, sweep=False)
    assert constant["miou"] == found["miou_at_background"]
    assert constant["miou_best"] == found["miou_best"]


def test_small_maps_are_enlarged_and_undefined_ones_are_background(index):
    small = {"a": HeatMaps(np.array([0]), np.array([[[0.0, 1.0]]], np.float32), (2, 4)), "b": MAPS["b"]}
    found = score_heatmaps(index, index.records, small, SCORING, background=0.5, sweep=False)
    enlarged = np.array([[0.0, 0.25, 0.75, 1.0]] * 2)  # half-pixel centres
    masks = {"a": (enlarged > 0.5).astype(np.uint8), "b": masks_at(0.5)["b"]}
    assert found["miou"] == pytest.approx(score_masks(index, index.records, masks, SCORING)["miou"])
    undefined = {"a": HeatMaps(np.array([0]), np.full((1, 2, 4), np.nan, np.float32), (2, 4)), "b": MAPS["b"]}
    found = score_heatmaps(index, index.records, undefined, SCORING, background=0.5, sweep=False)
    masks = {"a": np.zeros((2, 4), np.uint8), "b": masks_at(0.5)["b"]}
    assert found["miou"] == pytest.approx(score_masks(index, index.records, masks, SCORING)["miou"])
    assert found["undefined_maps"] == 1


def test_pictures_without_classes_are_background(index):
    empty = {"a": HeatMaps(np.zeros(0, int), np.zeros((0, 2, 4), np.float32), (2, 4)), "b": MAPS["b"]}
    found = score_heatmaps(index, index.records, empty, SCORING, background=0.5, sweep=False)
    masks = {"a": np.zeros((2, 4), np.uint8), "b": masks_at(0.5)["b"]}
    assert found["miou"] == pytest.approx(score_masks(index, index.records, masks, SCORING)["miou"])


def test_a_sweep_beyond_one_is_refused(index):
    with pytest.raises(ParameterError, match=r"thresholds must ascend within 0\.\.1"):
        score_heatmaps(index, index.records, MAPS, Scoring(sweep_count=200), background=0.4, sweep=True)


def average_precision(scores, labels):
    """The mean, over the positives, of the precision among all that score as high or higher (no ties)."""
    order = sorted(range(len(scores)), key=lambda k: -scores[k])
    hits, precisions = 0, []
    for rank, k in enumerate(order, start=1):
        if labels[k]:
            hits += 1
            precisions.append(hits / rank)
    return sum(precisions) / len(precisions)


def test_classification_by_hand():
    scores = np.array([[0.9, 0.1, 0.2], [0.2, 0.8, 0.3], [0.4, 0.3, 0.1], [0.3, 0.6, 0.5]])
    labels = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    found = classification_metrics(scores, labels)
    first, second = (average_precision(scores[:, k], labels[:, k]) for k in (0, 1))
    assert (first, second) == ((1 + 1 + 3 / 4) / 3, (1 / 2 + 2 / 3) / 2)
    assert found["ap_0"] == pytest.approx(first)
    assert found["ap_1"] == pytest.approx(second)
    assert found["map"] == pytest.approx((first + second) / 2)
    assert found["top1"] == 3 / 4
    assert found["images"] == 4
    assert "ap_2" not in found


@pytest.mark.filterwarnings("error")
def test_pictures_without_any_label_leave_the_precision_undefined():
    found = classification_metrics(np.ones((3, 2)), np.zeros((3, 2), bool))
    assert np.isnan(found["map"])
    assert found["top1"] == 0


def test_a_perfect_classifier():
    labels = np.eye(5, dtype=bool)
    found = classification_metrics(labels.astype(np.float32), labels)
    assert (found["map"], found["top1"]) == (1, 1)
