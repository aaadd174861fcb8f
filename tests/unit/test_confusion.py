"""Confusion matrix: hand-computed metrics, explicit per-class loops, errors that leave the counts alone."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate import ConfusionMatrix


def looped_metrics(prediction, truth, classes):
    """IoU, FP and FN a class from masks, as the field's scripts write it; NaN for a class in neither map."""
    rows = []
    for c in range(classes):
        seen = truth != 255
        p, t = (prediction == c) & seen, (truth == c) & seen
        union = (p | t).sum()
        rows.append([(p & t).sum(), (p & ~t).sum(), (t & ~p).sum()] / union if union else [np.nan] * 3)
    return np.array(rows, float).T


def small_matrix():
    matrix = ConfusionMatrix(4)
    #                          truth: background 3, class one 2, class two 1, ignored 1; class three nowhere
    matrix.update(np.array([[0, 0, 1], [1, 0, 0], [2, 0, 0]]), np.array([[0, 0, 0], [1, 1, 2], [255, 0, 0]]))
    return matrix


def test_by_hand():
    matrix = small_matrix()
    assert matrix.counts.tolist() == [[4, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(matrix.iou(), [4 / 7, 1 / 3, 0, np.nan])
    assert matrix.miou() == pytest.approx((4 / 7 + 1 / 3) / 4)
    assert matrix.miou("in_truth") == pytest.approx((4 / 7 + 1 / 3) / 3)
    assert matrix.false_positive_rate() == pytest.approx((2 / 7 + 1 / 3) / 4)
    assert matrix.false_negative_rate() == pytest.approx((1 / 7 + 1 / 3 + 1) / 4)
    assert matrix.pixel_accuracy() == pytest.approx(5 / 8)


def test_ratios_to_what_is_found_are_of_the_foreground():
    """Class one: 3 found, 1 wrong, 2 missed; class two: 2 found, 4 wrong; class three: never found, so left out."""
    matrix = ConfusionMatrix.from_counts(np.array([[9, 1, 1, 0], [2, 3, 0, 0], [0, 0, 2, 0], [0, 0, 3, 0]]))
    assert matrix.false_positives_over_true() == pytest.approx((1 / 3 + 4 / 2) / 2)
    assert matrix.false_negatives_over_true() == pytest.approx((2 / 3 + 0) / 2)
    lost = ConfusionMatrix.from_counts(np.array([[9, 1], [2, 0]]))
    assert lost.false_positives_over_true() is lost.false_negatives_over_true() is None


def test_conventions_differ_on_a_class_only_predicted():
    matrix = ConfusionMatrix(4)
    matrix.update(np.array([0, 1, 2]), np.array([0, 1, 1]))
    assert matrix.miou("all_classes") == pytest.approx(1.5 / 4)
    assert matrix.miou("in_either") == pytest.approx(1.5 / 3)
    assert matrix.miou("in_truth") == pytest.approx(1.5 / 2)


@settings(deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 25), st.sampled_from([np.uint8, np.int16, np.int64, np.uint16]))
def test_equals_the_loop(seed, classes, dtype):
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, classes, (6, 7)).astype(dtype)
    truth = rng.choice([*range(classes), 255], (6, 7)).astype(dtype)
    truth[0, 0] = 0
    matrix = ConfusionMatrix(classes)
    matrix.update(prediction, truth)
    iou, fp, fn = looped_metrics(prediction, truth, classes)
    np.testing.assert_allclose(matrix.iou(), iou)
    assert matrix.miou("in_either") == pytest.approx(np.nanmean(iou))
    assert matrix.false_positive_rate() == pytest.approx(np.nansum(fp) / classes)
    assert matrix.false_negative_rate() == pytest.approx(np.nansum(fn) / classes)
    assert matrix.pixel_accuracy() == pytest.approx((prediction == truth)[truth != 255].mean())


def test_pictures_merge_to_the_same_counts():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 5, (2, 4, 4 + i)) for i in range(4)]
    whole, halves = ConfusionMatrix(5), [ConfusionMatrix(5), ConfusionMatrix(5)]
    for i, (prediction, truth) in enumerate(pictures):
        whole.update(prediction, truth)
        halves[i % 2].update(prediction, truth)
    halves[0].merge(halves[1])
    assert np.array_equal(halves[0].counts, whole.counts)


def test_void_predictions():
    prediction, truth = np.array([0, 255, 1, 255]), np.array([0, 0, 1, 255])
    with pytest.raises(DataError, match="Label 255 in the prediction"):
        ConfusionMatrix(2).update(prediction, truth)
    dropped, missed = ConfusionMatrix(2), ConfusionMatrix(2)
    dropped.update(prediction, truth, void="drop")
    missed.update(prediction, truth, void="miss")
    assert (dropped.miou(), dropped.pixel_accuracy()) == (1, 1)
    np.testing.assert_allclose(missed.iou(), [0.5, 1])
    assert missed.pixel_accuracy() == pytest.approx(2 / 3)
    assert missed.false_negative_rate() == pytest.approx(0.25)
    restored = ConfusionMatrix.from_dict(missed.to_dict())
    assert restored.miou() == missed.miou()


def test_void_only_where_the_truth_is_ignored_is_no_fault():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([0, 255]), np.array([0, 255]))
    assert matrix.counts.tolist() == [[1, 0], [0, 0]]


def test_counts_pass_32_bits_and_survive_json():
    matrix = small_matrix()
    for _ in range(32):
        matrix.merge(matrix)
    restored = ConfusionMatrix.from_dict(json.loads(json.dumps(matrix.to_dict())))
    assert restored.counts.dtype == np.int64
    assert restored.counts[0, 0] == 4 * 2**32
    assert restored.miou() == small_matrix().miou()


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.array([0, 3]), np.array([0, 0]), "Label 3 in the prediction is outside 0..2"),
        (np.array([0, 0]), np.array([0, 200]), "Label 200 in the ground truth is outside 0..2"),
        (np.array([0, -1]), np.array([0, 0]), "Label -1 in the prediction"),
        (np.array([0, 0]), np.array([0, 256]), "Label 256 in the ground truth"),
        (np.array([0.0, 1.0]), np.array([0, 0]), "must be integers, got float64"),
        (np.array([0, 1]), np.array([[0, 0]]), "differ in shape"),
    ],
)
def test_wrong_labels_are_named_and_not_counted(prediction, truth, message):
    matrix = ConfusionMatrix(3)
    with pytest.raises(DataError, match=message):
        matrix.update(prediction, truth)
    assert not matrix.counts.any()


def test_other_errors():
    matrix = small_matrix()
    with pytest.raises(ParameterError, match="Did you mean 'in_truth'"):
        matrix.miou("in_thruth")
    with pytest.raises(ParameterError, match="void rule"):
        matrix.update(np.array([0]), np.array([0]), void="ignore")
    with pytest.raises(ParameterError, match="num_classes"):
        ConfusionMatrix(256)
    with pytest.raises(DataError, match="4 classes"):
        matrix.merge(ConfusionMatrix(3))
    with pytest.raises(DataError, match="No labelled pixel"):
        ConfusionMatrix(3).miou()
    with pytest.raises(DataError, match="no confusion of 3 classes"):
        ConfusionMatrix.from_dict({"num_classes": 3, "counts": [[1]]})
