"""Boxes around lit regions and their scores, drawn by hand."""

import json

import numpy as np
import pytest

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.localization import BoxLocalization, lit_boxes, mask_scores, painted, scale_boxes


def drawing(*rows: str) -> np.ndarray:
    return np.array([[float(c == "#") for c in row] for row in rows])


def test_regions_touch_at_corners():
    heat = drawing("#..#", ".#.#", "....")
    assert lit_boxes(heat, 0.5).tolist() == [[0, 0, 2, 2], [3, 0, 4, 2]]


def test_an_island_in_a_hole_has_no_box():
    ring = drawing(".......", ".#####.", ".#...#.", ".#.#.#.", ".#...#.", ".#####.", ".......")
    assert lit_boxes(ring, 0.5).tolist() == [[1, 1, 6, 6]]
    opened = ring.copy()
    opened[3, 5] = 0  # the hole opens through an edge, so the island stands alone
    assert lit_boxes(opened, 0.5).tolist() == [[1, 1, 6, 6], [3, 3, 4, 4]]


def test_a_ring_closed_by_corners_alone_has_an_inside():
    diamond = drawing("...#...", "..#.#..", ".#...#.", "#..#..#", ".#...#.", "..#.#..", "...#...")
    assert lit_boxes(diamond, 0.5).tolist() == [[0, 0, 7, 7]]


def test_an_island_by_the_border_is_outside_an_open_ring():
    assert lit_boxes(drawing("#####", "#...#", "#.#.#"), 0.5).tolist() == [[0, 0, 5, 3], [2, 2, 3, 3]]


def test_threshold_is_strict_and_may_be_the_mean():
    heat = np.array([[0.0, 0.5, 1.0, 0.1]])
    assert lit_boxes(heat, 0.5).tolist() == [[2, 0, 3, 1]]
    assert lit_boxes(heat, None).tolist() == [[1, 0, 3, 1]]  # mean 0.4
    assert lit_boxes(np.zeros((2, 2)), 0.5).shape == (0, 4)


def test_scores_by_hand():
    predicted, truth = drawing("##..", "##..") > 0, drawing(".##.", ".##.") > 0
    # 2 hits, 2 too many, 2 missed, 2 right outside, of 8.
    expected = [4 / 8, 2 / 6, 4 / 8, 2 / 4, 2 / 4]
    assert mask_scores(predicted, truth) == pytest.approx(expected, abs=1e-5)
    nothing = np.zeros((2, 4), bool)
    assert mask_scores(nothing, truth)[3] == 1.0  # 0/0 with 1e-5 above and below
    assert mask_scores(nothing, truth)[4] == pytest.approx(1e-5 / 4, rel=1e-3)


def test_published_boxes_are_a_pixel_too_large():
    heat = drawing("......", ".##...", ".##...", "......")
    true = [[1, 1, 2, 2]]  # the same region, ends inclusive
    as_published, mended = BoxLocalization(), BoxLocalization(as_published=False)
    published = as_published.update(heat, true, label=0, predicted=0)
    assert published["iou"] == pytest.approx(4 / 9, abs=1e-5)
    assert published["recall"] == 1.0
    assert mended.update(heat, true, label=0, predicted=0)["iou"] == 1.0


def test_boxes_at_the_border_are_cut():
    boxes = np.array([[2, 1, 4, 2]])
    assert painted(boxes, (2, 4), inclusive=True).tolist() == [[False] * 4, [False, False, True, True]]


def test_wrong_predictions_are_skipped_and_counted():
    measure = BoxLocalization()
    heat, true = drawing("#.", ".."), [[0, 0, 0, 0]]
    assert measure.update(heat, true, label=1, predicted=2) is None
    with pytest.raises(DataError, match=r"No image was scored \(1 were predicted wrongly"):
        measure.result()
    measure.update(heat, true, label=1, predicted=1)
    result = measure.result()
    assert (result["images"], result["skipped"], result["undefined_maps"]) == (1, 1, 0)


@pytest.mark.parametrize("heat", [np.full((2, 2), 7.0), np.full((2, 2), np.nan)])
def test_undefined_maps_light_nothing_and_are_counted(heat):
    measure = BoxLocalization()
    assert measure.update(heat, [[0, 0, 1, 0]], label=0, predicted=0)["recall"] == pytest.approx(1e-5 / 2, rel=1e-3)
    assert measure.result()["undefined_maps"] == 1


def test_scaling_of_true_boxes_rounds_down():
    assert scale_boxes([[10, 20, 99, 50]], size=(60, 100)).tolist() == [[22, 74, 221, 186]]
    assert scale_boxes([[1, 2, 3, 4]], size=(4, 3), to=(8, 9)).tolist() == [[3, 4, 9, 8]]


def test_merging_and_json_give_the_same_result():
    generator = np.random.default_rng(0)
    whole, parts = BoxLocalization(0.4), [BoxLocalization(0.4) for _ in range(3)]
    for index in range(9):
        heat, predicted = generator.random((8, 9)), int(generator.integers(0, 2))
        for measure in (whole, parts[index % 3]):
            measure.update(heat, [[1, 1, 4, 5], [0, 6, 2, 7]], label=0, predicted=predicted)
    merged = BoxLocalization(0.4)
    for part in reversed(parts):
        merged.merge(BoxLocalization.from_dict(json.loads(json.dumps(part.to_dict()))))
    assert merged.result() == whole.result()
    with pytest.raises(DataError, match="different settings"):
        merged.merge(BoxLocalization())


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], r"True boxes must be integers \[n, 4\]"),
        ([[0, 0, 1]], r"\[n, 4\]"),
        ([[0.0, 0.0, 1.0, 1.0]], "integers"),
        ([[3, 0, 1, 1]], r"\[\[3, 0, 1, 1\]\]"),
        ([[-1, 0, 1, 1]], "not negative"),
    ],
)
def test_wrong_boxes_are_refused(boxes, message):
    with pytest.raises(DataError, match=message):
        BoxLocalization().update(drawing("#."), boxes, label=0, predicted=0)


def test_wrong_maps_and_thresholds_are_refused():
    with pytest.raises(DataError, match=r"must be \[H, W\]"):
        BoxLocalization().update(np.zeros((1, 2, 2)), [[0, 0, 1, 1]], label=0, predicted=0)
    with pytest.raises(ParameterError, match="threshold must lie"):
        BoxLocalization(1.5)


def test_wrong_predictions_can_be_scored():
    scored = BoxLocalization(wrong="score")
    assert scored.update(drawing("##"), [[0, 0, 1, 0]], label=0, predicted=1) is not None
    assert (scored.result()["images"], scored.result()["skipped"]) == (1, 0)
    with pytest.raises(DataError, match="different settings"):
        scored.merge(BoxLocalization())
    with pytest.raises(ParameterError, match="Unknown rule for wrong predictions 'odd'"):
        BoxLocalization(wrong="odd")


def test_boxes_of_another_size_are_refused():
    """A map of 4 x 4 cells against boxes of a mask of 8 x 8: what does not fit was cut off, and recall was 1."""
    heat = np.zeros((4, 4))
    heat[1:, 1:] = 1
    with pytest.raises(DataError, match=r"boxes reach x = 6 and y = 7, the map is 4 x 4: .*see scale_boxes"):
        BoxLocalization().update(heat, [[2, 2, 6, 7]], label=0, predicted=0)
    assert BoxLocalization().update(heat, [[1, 1, 4, 4]], label=0, predicted=0)["recall"] == 1
