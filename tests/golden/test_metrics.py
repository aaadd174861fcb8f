"""Segmentation metrics against values recorded from the authors' published code."""

from pathlib import Path

import numpy as np
import pytest

from seedbed.evaluate import ConfusionMatrix, ThresholdSweep

PERCENT = 1e-9  # the recordings add 1e-10 to each union


@pytest.fixture(scope="module")
def z():
    with np.load(Path(__file__).parent / "data" / "metrics.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def sweep(z):
    sweep = ThresholdSweep(21)
    for i in range(int(z["n"])):
        sweep.update(z[f"cam{i}"], z[f"cam_keys{i}"] + 1, z[f"gt{i}"])
    return sweep


def confusion(predictions, truths, classes, **options):
    matrix = ConfusionMatrix(classes)
    for prediction, truth in zip(predictions, truths, strict=True):
        matrix.update(prediction, truth, **options)
    return matrix


def assert_seed_scores(matrix, z, prefix):
    assert 100 * matrix.miou("all_classes") == pytest.approx(float(z[f"{prefix}/miou_percent"]), abs=PERCENT)
    assert 100 * matrix.false_positive_rate() == pytest.approx(float(z[f"{prefix}/FP_percent"]), abs=PERCENT)
    assert 100 * matrix.false_negative_rate() == pytest.approx(float(z[f"{prefix}/FN_percent"]), abs=PERCENT)
    np.testing.assert_allclose(100 * np.nan_to_num(matrix.iou()), z[f"{prefix}/iou_percent"], atol=PERCENT)


def test_masks_in_two_conventions(z):
    numbers = range(int(z["n"]))
    matrix = confusion([z[f"pred{i}"] for i in numbers], [z[f"gt{i}"] for i in numbers], 21)
    assert_seed_scores(matrix, z, "png")
    assert np.array_equal(matrix.counts, z["evaluator/confusion"])
    np.testing.assert_allclose(matrix.iou(), z["evaluator/iou"], rtol=1e-12)
    assert matrix.miou("in_either") == pytest.approx(float(z["evaluator/miou"]), rel=1e-12)
    assert matrix.pixel_accuracy() == pytest.approx(float(z["evaluator/pixel_acc"]), rel=1e-12)


def test_what_follows_of_the_counts(z):
    """The recorded shares of single classes add 1e-5 to what they divide by."""
    numbers = range(int(z["n"]))
    matrix = confusion([z[f"pred{i}"] for i in numbers], [z[f"gt{i}"] for i in numbers], 21)
    hit, true, predicted = matrix.counts.diagonal(), matrix.counts.sum(axis=1), matrix.counts.sum(axis=0)
    np.testing.assert_allclose(hit / np.maximum(true, 1), z["evaluator/recall"], atol=1e-6)
    np.testing.assert_allclose(hit / np.maximum(predicted, 1), z["evaluator/precision"], atol=1e-6)
    shown = true > 0
    assert (hit[shown] / true[shown]).mean() == pytest.approx(float(z["evaluator/class_acc"]), rel=1e-12)
    weighted = (true[shown] * matrix.iou()[shown]).sum() / true.sum()
    assert weighted == pytest.approx(float(z["evaluator/fwiou"]), rel=1e-12)


@pytest.mark.parametrize("percent", [20, 37, 50])
def test_maps_at_a_threshold(z, sweep, percent):
    assert_seed_scores(sweep.confusions()[percent], z, f"npy{percent}")


def test_threshold_curve(z, sweep):
    curve = 100 * sweep.miou_curve()
    np.testing.assert_allclose(sweep.thresholds, z["curve/thresholds"])
    np.testing.assert_allclose(curve, z["curve/full_miou"], atol=PERCENT)
    stopped = sweep.best("early_stop")
    assert stopped.threshold == float(z["curve/best_thr"])
    assert 100 * stopped.miou == pytest.approx(float(z["curve/best_miou"]), abs=PERCENT)
    # It has looked at one threshold more than the best, which did not improve.
    np.testing.assert_allclose(curve[: stopped.index + 2], z["curve/early_stop_miou"], atol=PERCENT)
    assert sweep.best("full_scan").miou > stopped.miou


@pytest.mark.parametrize(("prefix", "key", "void"), [("score", "pred", "error"), ("pscore", "pseudo", "drop")])
def test_afa_scores(z, prefix, key, void):
    truths = [z[f"score/gt{i}"] for i in range(3)]
    matrix = confusion([z[f"score/{key}{i}"] for i in range(3)], truths, 8, void=void)
    np.testing.assert_allclose(matrix.iou(), z[f"{prefix}/iou"], rtol=1e-12)
    assert matrix.miou("in_truth") == pytest.approx(float(z[f"{prefix}/miou"]), rel=1e-12)
    assert matrix.pixel_accuracy() == pytest.approx(float(z[f"{prefix}/pAcc"]), rel=1e-12)
    of_class = matrix.counts.sum(axis=1)
    recall = matrix.counts.diagonal()[of_class > 0] / of_class[of_class > 0]
    assert recall.mean() == pytest.approx(float(z[f"{prefix}/mAcc"]), rel=1e-12)


def test_vit_affinity_score(z):
    matrix = confusion([z["miou/pred"]], [z["miou/gt"]], int(z["miou/n_class"]))
    assert matrix.miou("in_truth") == pytest.approx(float(z["miou/mean_iou"]), rel=1e-12)
    assert matrix.pixel_accuracy() == pytest.approx(float(z["miou/pixel_acc"]), rel=1e-12)
    np.testing.assert_allclose(matrix.iou(), z["miou/class_iou"], rtol=1e-12)
