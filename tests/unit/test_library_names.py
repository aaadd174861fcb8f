"""The calls that users build on exist under these names and give what they promise."""

import numpy as np
import pytest
import torch

from seedbed import evaluate, refine
from seedbed.evaluate import ConfusionMatrix, coco, localization, perturbation, soft_segmentation
from seedbed.explain import explain
from seedbed.models import create_model

METHODS = [
    "raw_attention", "rollout", "gradcam", "lrp", "partial_lrp", "transformer_attribution", "generic_attribution",
    "attention_guided_cam", "cam",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return create_model("vit_tiny_patch8_96", 6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_papers_by_its_name(model, method):
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    maps = explain(model, images, [1, 4], method)
    assert maps.shape == (2, *((96, 96) if method == "lrp" else (12, 12)))
    assert maps.dtype == torch.float32


def test_explained_refined_and_scored(model):
    """One image through the calls that lead from a classifier to a number."""
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    maps = explain(model, images, [[0, 2]], "attention_guided_cam")
    spread = refine.propagate(maps, torch.eye(144)[None])
    torch.testing.assert_close(spread, maps)
    adapted = refine.pixel_adaptive_refinement(images, maps, iterations=2)
    assert adapted.shape == (1, 2, 96, 96)
    picture = np.zeros((12, 12, 3), np.uint8)
    scores = torch.cat((torch.ones(1, 12, 12), maps[0])).softmax(0).numpy()
    posteriors = refine.dense_crf(picture, scores)
    labels = refine.dense_crf_labels(picture, scores)
    assert (labels == posteriors.argmax(0)).all()
    background, foreground, negative = refine.affinity_labels(labels, radius=5)
    assert background.shape == foreground.shape == negative.shape == (34, 8 * 4)
    walked = refine.random_walk(scores, np.eye(144), beta=8, steps=2)
    np.testing.assert_allclose(walked, scores, rtol=1e-6)
    matrix = ConfusionMatrix(3)
    matrix.update(labels, labels)
    assert matrix.pixel_accuracy() == 1.0
    assert matrix.miou("in_truth") == 1.0


def test_the_other_measures_have_modules_of_their_own():
    assert evaluate.ConfusionMatrix is ConfusionMatrix
    heat = np.zeros((8, 8), np.float32)
    heat[2:6, 2:6] = 1.0
    segmented = soft_segmentation.SoftSegmentation()
    segmented.update(heat, (heat > 0).astype(np.int64))
    assert segmented.result()["miou"] == pytest.approx(1.0)
    boxes = localization.BoxLocalization(as_published=False)
    boxes.update(heat, [[2, 2, 5, 5]], label=0, predicted=0)
    assert boxes.result()["iou"] > 0.5
    scores = coco.InstanceScores(medium=(4, 100), large=(100, 1000))
    assert set(scores.update.__annotations__) >= {"image", "maps", "classes", "probabilities", "truth"}
    assert perturbation.PerturbationTest().schedule == "per"
