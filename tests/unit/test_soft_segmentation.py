"""Soft segmentation by hand, and average precision against scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.soft_segmentation import SoftSegmentation, average_precision, f1_of_rows, unit_range

HEAT = np.array([[0.0, 1.0], [4.0, 3.0]])  # scaled 0, 1/4, 1, 3/4; mean 1/2
TRUTH = np.array([[0, 1], [1, 0]])


def test_one_picture_by_hand():
    measure = SoftSegmentation()
    single = measure.update(HEAT, TRUTH)
    # Predicted foreground: the lower row. Right: top left (background) and bottom left (foreground).
    assert (single["correct"], single["labeled"]) == (2, 4)
    result = measure.result()
    assert result["pixel_accuracy"] == 0.5
    assert result["iou_background"] == pytest.approx(1 / 3)
    assert result["iou_foreground"] == pytest.approx(1 / 3)
    assert result["f1"] == pytest.approx(0.5)
    # Rows: the upper has a true pixel and none predicted (0), the lower one hit of two predicted and one true (2/3).
    assert result["f1_rows"] == pytest.approx((0 + 2 / 3) / 2)
    # Background scores 1, 3/4, 0, 1/4; foreground scores 0, 1/4, 1, 3/4. From the top: 1 twice, both hits; 3/4 twice,
    # none; 1/4 twice, both hits; 0 twice, none.
    assert result["map"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 4 / 6)


def test_average_precision_by_hand():
    # Ties at 0.5 hold one hit of two: precisions 1, 2/3, 3/4 at recalls 1/3, 2/3, 1.
    scores, labels = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, False, True, True])
    assert average_precision(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), size=st.integers(1, 60))
def test_average_precision_equals_sklearn(data, size):
    scores = data.draw(arrays(np.float32, size, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])))
    labels = data.draw(arrays(np.bool_, size))
    labels[data.draw(st.integers(0, size - 1))] = True
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_f1_of_an_empty_row_is_zero():
    predicted = np.array([[True, True], [False, False], [False, True]])
    truth = np.array([[True, True], [False, False], [True, False]])
    assert f1_of_rows(predicted, truth).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("heat", [np.full((2, 2), 3.0), np.array([[np.nan, 1.0], [2.0, 3.0]])])
def test_undefined_maps(heat):
    assert unit_range(heat) is None
    published, skipping = SoftSegmentation(), SoftSegmentation(undefined="skip")
    assert published.update(heat, TRUTH)["average_precision"] == pytest.approx(0.5)
    assert skipping.update(heat, TRUTH) is None
    result = published.result()
    assert (result["undefined_maps"], result["images"]) == (1, 1)
    assert (result["iou_background"], result["iou_foreground"]) == (pytest.approx(0.5), 0.0)
    with pytest.raises(DataError, match="No image was counted"):
        skipping.result()
    skipping.update(HEAT, TRUTH)
    assert (skipping.result()["undefined_maps"], skipping.result()["images"]) == (1, 1)


def test_ignored_pixels_are_left_out():
    measure = SoftSegmentation()
    heat, truth = np.array([[0.0, 0.1, 1.0, 0.9]]), np.array([[0, -1, 1, -1]])
    assert measure.update(heat, truth)["labeled"] == 2
    result = measure.result()
    assert (result["pixel_accuracy"], result["map"], result["miou"], result["f1_rows"]) == (
        1.0,
        1.0,
        pytest.approx(1),
        1,
    )


def test_merging_in_any_order_and_json_give_the_same_result():
    generator = np.random.default_rng(0)
    pictures = [(generator.random((6, 7)), generator.integers(0, 2, (6, 7))) for _ in range(9)]
    whole = SoftSegmentation()
    parts = [SoftSegmentation() for _ in range(3)]
    for index, (heat, truth) in enumerate(pictures):
        whole.update(heat, truth)
        parts[index % 3].update(heat, truth)
    merged = SoftSegmentation()
    for part in reversed(parts):
        merged.merge(SoftSegmentation.from_dict(json.loads(json.dumps(part.to_dict()))))
    assert merged.result() == whole.result()


@pytest.mark.parametrize(
    ("heat", "truth", "message"),
    [
        (np.zeros((2, 3)), TRUTH, r"heat map \(2, 3\) and the mask \(2, 2\)"),
        (HEAT, TRUTH + 1, "Label 2 in the mask is none of"),
        (HEAT, TRUTH * 255, "Label 255 in the mask"),
        (HEAT, TRUTH.astype(float), "Masks must hold integers, got float64"),
        (HEAT, np.full((2, 2), -1), "no labelled pixel"),
        (np.array([[np.inf, 0.0], [0.0, 1.0]]), TRUTH, "infinite"),
    ],
)
def test_wrong_pictures_are_refused_and_not_counted(heat, truth, message):
    measure = SoftSegmentation()
    with pytest.raises(DataError, match=message):
        measure.update(heat, truth)
    with pytest.raises(DataError, match="No image"):
        measure.result()


def test_unknown_rule_and_unequal_merges():
    with pytest.raises(ParameterError, match="Unknown rule for undefined maps 'zero'"):
        SoftSegmentation(undefined="zero")
    with pytest.raises(DataError, match="Cannot merge"):
        SoftSegmentation().merge(SoftSegmentation(undefined="skip"))
