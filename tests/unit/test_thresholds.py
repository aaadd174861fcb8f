"""The threshold sweep against one plain evaluation a threshold, at its floating-point edges."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate import ConfusionMatrix, ThresholdSweep


def plain_confusion(pictures, classes, threshold):
    """Argmax over a full float32 stack with the threshold as background, as the published scripts do it."""
    matrix = ConfusionMatrix(classes)
    for maps, labels, truth in pictures:
        stack = np.zeros((classes, *truth.shape), np.float32)
        for values, label in zip(maps, labels, strict=True):
            stack[label] = values
        stack[0] = threshold
        matrix.update(stack.argmax(axis=0), truth)
    return matrix


def pictures_of(seed, dtype, classes=6, count=3):
    """Maps whose values often equal a threshold or each other."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        labels = rng.permutation(np.arange(1, classes))[: rng.integers(1, 4)]
        values = (rng.integers(0, 70, (len(labels), 7, 5 + i)) / 100).astype(dtype)
        truth = rng.choice([*range(classes), 255], values.shape[1:]).astype(np.uint8)
        yield values, labels, truth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([np.float16, np.float32, np.float64]))
def test_equals_one_evaluation_a_threshold(seed, dtype):
    pictures = list(pictures_of(seed, dtype))
    sweep = ThresholdSweep(6)
    for picture in pictures:
        sweep.update(*picture)
    for threshold, ours in zip(sweep.thresholds, sweep.confusions(), strict=True):
        assert np.array_equal(ours.counts, plain_confusion(pictures, 6, threshold).counts)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30, unique=True), st.integers(0, 2**16))
def test_any_thresholds_split_the_values_where_they_stand(ranks, seed):
    thresholds = np.sort(ranks) / 10_000
    levels = thresholds.astype(np.float32)
    around = np.concatenate([levels, np.nextafter(levels, np.float32(-1)), np.nextafter(levels, np.float32(2))])
    values = np.concatenate([around, np.random.default_rng(seed).random(20, dtype=np.float32), [-3, 7, 1e30]])
    sweep = ThresholdSweep(2, thresholds)
    sweep.update(values[None, None], [1], np.ones((1, values.size), int))
    found = [confusion.counts[1, 1] for confusion in sweep.confusions()]
    assert found == [(values.astype(np.float32) > level).sum() for level in levels]


def test_curves_are_the_metrics_of_each_threshold():
    pictures = list(pictures_of(1, np.float32))
    sweep = ThresholdSweep(6, [0.1, 0.35])
    for picture in pictures:
        sweep.update(*picture)
    plain = [plain_confusion(pictures, 6, t) for t in (0.1, 0.35)]
    assert sweep.miou_curve("in_truth").tolist() == [m.miou("in_truth") for m in plain]
    assert sweep.false_positive_curve().tolist() == [m.false_positive_rate() for m in plain]
    assert sweep.false_negative_curve().tolist() == [m.false_negative_rate() for m in plain]


def test_background_wins_a_tie_and_the_lowest_label_wins_between_classes():
    maps = np.array([[[0.25, 0.5]], [[0.25, 0.5]]], np.float32)
    sweep = ThresholdSweep(4, [0.0, 0.25])
    sweep.update(maps, [3, 2], np.array([[0, 0]]))
    zero, quarter = sweep.confusions()
    assert zero.counts[0].tolist() == [0, 0, 2, 0]
    assert quarter.counts[0].tolist() == [1, 0, 1, 0]


def test_negative_maps_are_background():
    sweep = ThresholdSweep(3)
    sweep.update(np.full((1, 2, 2), -1, np.float32), [1], np.zeros((2, 2), int))
    assert all(confusion.counts[0, 0] == 4 for confusion in sweep.confusions())


def test_a_picture_without_maps_is_background():
    sweep = ThresholdSweep(3, [0.0, 0.5])
    sweep.update(np.zeros((0, 2, 2), np.float32), [], np.array([[0, 1], [255, 1]]))
    assert all(confusion.counts.tolist() == [[1, 0, 0], [2, 0, 0], [0, 0, 0]] for confusion in sweep.confusions())


def test_merge_and_json():
    pictures = list(pictures_of(2, np.float32, count=4))
    whole, halves = ThresholdSweep(6), [ThresholdSweep(6), ThresholdSweep(6)]
    for i, picture in enumerate(pictures):
        whole.update(*picture)
        halves[i % 2].update(*picture)
    halves[0].merge(halves[1])
    restored = ThresholdSweep.from_dict(json.loads(json.dumps(halves[0].to_dict())))
    assert restored.miou_curve().tolist() == whole.miou_curve().tolist()


def test_selections_part_at_the_first_fall():
    # Pixels (value, truth): mIoU goes up, down, then higher than before.
    values = np.array([[0.15, 0.25, 0.35, 0.35, 0.9]], np.float32)
    truth = np.array([[0, 1, 0, 0, 1]])
    sweep = ThresholdSweep(2, [0.1, 0.2, 0.3, 0.4])
    sweep.update(values[None], [1], truth)
    curve = sweep.miou_curve()
    assert curve[0] < curve[1] > curve[2] < curve[3] > curve[1]
    assert sweep.best("early_stop") == (0.2, curve[1], 1)
    assert sweep.best("full_scan") == sweep.best() == (0.4, curve[3], 3)


def test_early_stop_ends_where_nothing_improves_and_takes_the_last_of_a_rise():
    level = ThresholdSweep(2, [0.1, 0.2])
    level.update(np.array([[[0.9]]], np.float32), [1], np.array([[1]]))
    assert level.best("early_stop").index == 0
    rising = ThresholdSweep(2, [0.1, 0.2])
    rising.update(np.array([[[0.15, 0.9]]], np.float32), [1], np.array([[0, 1]]))
    assert rising.best("early_stop").index == 1


def test_errors_name_the_fault():
    sweep, maps, truth = ThresholdSweep(3), np.zeros((1, 2, 2), np.float32), np.zeros((2, 2), np.uint8)
    with pytest.raises(DataError, match="K labels"):
        sweep.update(maps, [1, 2], truth)
    with pytest.raises(DataError, match="differ in size"):
        sweep.update(maps, [1], truth[:1])
    with pytest.raises(DataError, match="Map label 3"):
        sweep.update(maps, [3], truth)
    with pytest.raises(DataError, match="same label"):
        sweep.update(np.zeros((2, 2, 2)), [1, 1], truth)
    with pytest.raises(DataError, match="finite"):
        sweep.update(maps * np.nan, [1], truth)
    with pytest.raises(DataError, match="Label 9 in the ground truth"):
        sweep.update(maps, [1], truth + 9)
    with pytest.raises(DataError, match="No labelled pixel"):
        sweep.miou_curve()
    with pytest.raises(DataError, match="different classes or thresholds"):
        sweep.merge(ThresholdSweep(3, [0.5]))
    with pytest.raises(DataError, match="no sweep of 3 classes"):
        ThresholdSweep.from_dict({"num_classes": 3, "thresholds": [0.5], "counts": []})
    with pytest.raises(ParameterError, match="Did you mean 'early_stop'"):
        sweep.best("early_stopp")
    for thresholds in ([], [0.2, 0.1], [-0.1, 0.2], [0.1, 0.10001], [0.5, 1.1]):
        with pytest.raises(ParameterError, match="thresholds"):
            ThresholdSweep(3, thresholds)
