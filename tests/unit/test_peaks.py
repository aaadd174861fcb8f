"""Peaks and true boxes, drawn by hand."""

import json
import math

import numpy as np
import pytest

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.peaks import PeakTest, local_maxima

# A ridge from (1, 1) at its highest to (1, 4), and a lower hill of its own at (4, 6).
HEAT = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.9, 0.8, 0.7, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.0],
        [0.0, 0.3, 0.0, 0.0, 0.0, 0.4, 0.6, 0.5],
    ]
)
PEAK, SLOPE, HILL, LOW = [0, 0, 1, 2], [3, 0, 4, 2], [6, 3, 7, 4], [0, 4, 2, 4]


def counted(*boxes, heat=HEAT, test=None, label=0) -> PeakTest:
    test = test or PeakTest()
    test.update(heat, list(boxes), label=label, predicted=0)
    return test


def test_local_maxima_lie_above_the_threshold():
    assert np.argwhere(local_maxima(HEAT, 0.5)).tolist() == [[1, 1], [4, 6]]
    assert np.argwhere(local_maxima(HEAT, 0.2)).tolist() == [[1, 1], [4, 1], [4, 6]]
    plateau = np.array([[1.0, 1.0, 0.0, 0.9]])
    assert local_maxima(plateau, 0.5).tolist() == [[True, True, False, True]]


@pytest.mark.parametrize(("box", "outside"), [(PEAK, 0), (HILL, 1), (SLOPE, 1)])
def test_a_peak_lies_outside_every_box_or_in_one(box, outside):
    assert counted(box).result()["peaks_outside"] == outside
    assert counted(box, PEAK).result()["peaks_outside"] == 0


def test_of_two_equal_peaks_one_inside_is_enough():
    twice = HEAT.copy()
    twice[4, 6] = 1
    assert counted(HILL, heat=twice).result()["peaks_outside"] == 0


@pytest.mark.parametrize(("box", "hit"), [(PEAK, 1), (HILL, 1), (SLOPE, 0), (LOW, 0)])
def test_an_instance_is_hit_by_a_maximum_of_its_own(box, hit):
    """The slope's box is lit from its neighbour, the low one's maximum is below the threshold."""
    assert counted(box).result()["instances_hit_one"] == hit


def test_shares_of_instances_by_their_number_in_the_image():
    test = counted(PEAK, SLOPE, HILL)
    for boxes in ([HILL], [SLOPE], [LOW, SLOPE]):
        counted(*boxes, test=test)
    result = test.result()
    assert result["instances_hit_one"] == 1 / 2
    assert result["instances_hit_several"] == 2 / 5
    assert result["instances_hit"] == 3 / 7
    assert result["peaks_outside"] == 3 / 4
    assert (result["images"], result["images_several"], result["instances"]) == (4, 2, 7)


def test_what_there_is_none_of_is_undefined():
    result = counted(PEAK).result()
    assert math.isnan(result["instances_hit_several"]) and result["images_several"] == 0


@pytest.mark.parametrize("heat", [np.full((5, 8), 7.0), np.full((5, 8), np.nan)])
def test_undefined_maps_have_no_peak_and_hit_nothing(heat):
    result = counted(HILL, heat=heat).result()
    assert (result["undefined_maps"], result["instances_hit"]) == (1, 0) and math.isnan(result["peaks_outside"])


def test_wrong_predictions_are_skipped_or_counted():
    test = counted(PEAK, label=1)
    with pytest.raises(DataError, match=r"No image was counted \(1 were predicted wrongly"):
        test.result()
    assert counted(PEAK, label=1, test=PeakTest(wrong="score")).result()["skipped"] == 0
    with pytest.raises(DataError, match="different settings"):
        test.merge(PeakTest(threshold=0.4))


def test_merging_and_json_give_the_same_result():
    generator = np.random.default_rng(0)
    whole, parts = PeakTest(0.4), [PeakTest(0.4) for _ in range(3)]
    for index in range(12):
        heat, label, boxes = generator.random((8, 9)), index % 4 // 3, [[1, 1, 4, 5], [0, 6, 2, 7]][: 1 + index % 2]
        for test in (whole, parts[index % 3]):
            counted(*boxes, heat=heat, test=test, label=label)
    merged = PeakTest(0.4)
    for part in reversed(parts):
        merged.merge(PeakTest.from_dict(json.loads(json.dumps(part.to_dict()))))
    assert merged.result() == whole.result() and whole.result()["skipped"] == 3


@pytest.mark.parametrize(
    ("boxes", "message"),
    [([], r"\[n, 4\] with n > 0"), ([[0, 0, 1]], r"\[n, 4\]"), ([[0, 0, 9, 1]], "boxes reach x = 9")],
)
def test_wrong_boxes_are_refused(boxes, message):
    with pytest.raises(DataError, match=message):
        counted(*boxes)


def test_wrong_settings_are_refused():
    with pytest.raises(ParameterError, match="threshold must lie"):
        PeakTest(1.0)
    with pytest.raises(ParameterError, match="Unknown rule for wrong predictions"):
        PeakTest(wrong="odd")
