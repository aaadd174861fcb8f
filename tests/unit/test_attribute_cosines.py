"""Cosines between attributes: by hand, against the loss that makes them small, and of networks without attributes."""

import math

import pytest
import torch
import torch.nn.functional as F
from exvit_toys import pictures, small

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.attribute_cosines import attribute_likeness, pair_cosines
from seedbed.explain import explain
from seedbed.models import create_model
from seedbed.train.exvit_losses import diversity


def test_cosines_of_pairs_by_hand():
    vectors = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [3.0, 3.0], [0.0, 0.0]])
    found = pair_cosines(vectors)
    half = math.sqrt(0.5)
    pairs = [-1, half, 0, -half, 0, 0]
    assert float(found["cosine"]) == pytest.approx(sum(pairs) / 6)
    assert float(found["cosine_absolute"]) == pytest.approx((1 + 2 * half) / 6)
    assert float(found["cosine_largest"]) == 1
    with pytest.raises(DataError, match="two vectors or more"):
        pair_cosines(vectors[:1])


@torch.no_grad()
def test_the_cosine_of_features_is_the_loss_of_the_image():
    model, image = small(), pictures(32, 24, count=1)
    found, output = attribute_likeness(model, image, [1]), model(image, full=True)
    assert found["feature_cosine"] == pytest.approx(float(diversity(output.attribute_weights, output.features)))
    assert abs(found["feature_cosine"]) <= found["feature_cosine_absolute"] <= found["feature_cosine_largest"]


def test_contributions_are_those_that_the_maps_show():
    model, image = small(), pictures(32, 32, count=1)
    options = {"show": "contribution", "relu": False}
    cosines, pairs = [], ((0, 1), (0, 2), (1, 2))
    for label in (0, 2):
        maps = [explain(model, image, [label], "attribute_maps", attribute=s, **options).flatten() for s in range(3)]
        cosines += [float(F.cosine_similarity(maps[one], maps[other], 0)) for one, other in pairs]
    found = attribute_likeness(model, image, [0, 2])
    assert found["contribution_cosine"] == pytest.approx(sum(cosines) / 6)
    assert found["contribution_cosine_absolute"] == pytest.approx(sum(map(abs, cosines)) / 6)
    assert found["contribution_cosine_largest"] == pytest.approx(
        (max(map(abs, cosines[:3])) + max(map(abs, cosines[3:]))) / 2
    )


def test_without_classes_or_guided_maps_there_are_no_contributions():
    image = pictures(32, 32, count=1)
    for model, classes in ((small(), []), (small(head="cam"), [1])):
        assert {name.split("_")[0] for name in attribute_likeness(model, image, classes)} == {"feature"}


def test_networks_without_attributes_are_named():
    image = pictures(32, 32, count=1)
    for model, problem in (
        (create_model("vit_tiny_patch16_224", 3, img_size=32, patch_size=8, depth=1), "it is no eX-ViT"),
        (small(num_attributes=0, head="cam"), "it has no attributes"),
        (small(num_attributes=1), "one attribute; set its num_attributes"),
    ):
        with pytest.raises(ParameterError, match=problem):
            attribute_likeness(model, image, [0])
