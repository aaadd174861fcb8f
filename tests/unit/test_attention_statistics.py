"""Hellinger distances within a layer's attention, against a loop over pairs."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layered_models import network

from seedbed.data.images import read_picture
from seedbed.data.normalise import normalise
from seedbed.errors import DataError, UserError
from seedbed.evaluate.attention import (
    AttentionStatistics,
    attention_matrices,
    count_attention,
    hellinger_distances,
    mean_hellinger,
)
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.explain.attention_cams import patch_attention
from seedbed.params.stages import NetworkInput

CPU = torch.device("cpu")

torch.set_num_threads(1)


def looped(rows, normalise=False):
    """Equation 6, pair by pair; the mean over pairs of different rows."""
    rows = [[float(value) for value in row] for row in rows]
    if normalise:
        rows = [[value / sum(row) for value in row] for row in rows]
    distances = [
        math.sqrt(sum((math.sqrt(p) - math.sqrt(q)) ** 2 for p, q in zip(one, other, strict=True))) / math.sqrt(2)
        for k, one in enumerate(rows)
        for other in rows[k + 1 :]
    ]
    return sum(distances) / len(distances)


def test_hellinger_by_hand():
    """Equal distributions are 0 apart, disjoint ones 1, a fair coin and a sure one sqrt(1 - sqrt(1/2))."""
    attention = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    half = math.sqrt(1 - math.sqrt(0.5))
    expected = torch.tensor([[0, 1, half, 0], [1, 0, half, 1], [half, half, 0, half], [0, 1, half, 0]])
    torch.testing.assert_close(hellinger_distances(attention), expected.double())
    assert float(mean_hellinger(attention)) == pytest.approx((1 + half + 0 + half + 1 + half) / 6)


@given(st.integers(0, 10**6), st.booleans())
def test_hellinger_equals_a_loop(seed, normalise):
    """Whole rows, and rows that lost what class tokens got."""
    logits = 3 * torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(seed))
    attention = logits.softmax(-1)[:, :, 2:]
    means = mean_hellinger(attention, renormalise=normalise)
    assert means.shape == (2,)
    for mean, rows in zip(means, attention, strict=True):
        assert float(mean) == pytest.approx(looped(rows, normalise), rel=1e-9)


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_hellinger_is_a_distance(seed, sharpness):
    rows = (sharpness * torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))).softmax(-1)
    distances = hellinger_distances(rows)
    torch.testing.assert_close(distances, distances.mT, rtol=0, atol=1e-7)
    assert not distances.diagonal().any()
    assert ((distances >= 0) & (distances <= 1 + 1e-7)).all()
    assert (distances[:, None, :] <= distances[:, :, None] + distances[None] + 1e-7).all()


def test_rows_that_are_nearly_equal_keep_their_digits():
    rows = torch.tensor([[0.5, 0.5], [0.5 + 1e-6, 0.5 - 1e-6]], dtype=torch.float64)
    assert float(mean_hellinger(rows)) == pytest.approx(looped(rows), rel=1e-3)


def test_a_row_of_zeros_stays():
    assert hellinger_distances(torch.zeros(2, 3), renormalise=True).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(DataError, match=r"two rows or more, got attention of shape \(1, 3\)"):
        mean_hellinger(torch.ones(1, 3))


@pytest.mark.parametrize("method", ["mct_refined", "transcam"])
@pytest.mark.parametrize("renormalise", [False, True])
def test_statistics_are_means_over_pictures(method, renormalise, shapes):
    model, records = network(method, shapes).train(), shapes.split("val")
    settings = NetworkInput(normalize="imagenet", size=(48, 48))
    counts = count_attention(model, shapes, records, settings, CPU, renormalise=renormalise)
    found = counts.result()
    pictures = [torch.from_numpy(read_picture(shapes.root / r.path).copy()).permute(2, 0, 1) for r in records]
    attention = patch_attention(model, torch.stack([normalise(picture, "imagenet") for picture in pictures]))
    expected = [sum(looped(rows, renormalise) for rows in layer) / len(records) for layer in attention]
    np.testing.assert_allclose(found["hellinger_per_layer"], expected, rtol=1e-3)
    assert found["hellinger"] == pytest.approx(np.mean(found["hellinger_per_layer"]))
    assert found["images"] == 4
    halves = [count_attention(model, shapes, records[k::2], settings, CPU, renormalise=renormalise) for k in (0, 1)]
    merged = merge_protocol("attention_statistics", [json.loads(json.dumps(half.to_dict())) for half in halves])
    np.testing.assert_allclose(merged.pop("hellinger_per_layer"), found.pop("hellinger_per_layer"), rtol=1e-9)
    assert merged == pytest.approx(found, rel=1e-9)


def test_statistics_go_on_from_those_of_the_pictures_before(shapes):
    model, records = network("mct_refined", shapes), shapes.split("val")
    measured = (NetworkInput(normalize="imagenet", size=(48, 48)), CPU)
    whole = count_attention(model, shapes, records, *measured).to_dict()
    kept = json.loads(json.dumps(count_attention(model, shapes, records[:3], *measured).to_dict()))
    begun = AttentionStatistics.from_dict(kept)
    assert count_attention(model, shapes, iter(records[3:]), *measured, begun=begun).to_dict() == whole


def test_statistics_of_nothing_or_of_other_networks(shapes):
    with pytest.raises(DataError, match="no images"):
        AttentionStatistics().result()
    records, settings = shapes.split("val"), NetworkInput(normalize="imagenet", size=(48, 48))
    with pytest.raises(UserError, match="Linear is not read"):
        count_attention(torch.nn.Linear(1, 1), shapes, records, settings, CPU)
    one, other = AttentionStatistics(), AttentionStatistics()
    one.update([0.5, 0.25])
    other.update([0.5])
    with pytest.raises(DataError, match="Cannot add distances of 1 layers to those of 2"):
        one.merge(other)


@pytest.mark.parametrize("method", ["mct_refined", "transcam"])
def test_matrices_are_the_networks_own(method, shapes):
    model, records = network(method, shapes).eval(), shapes.split("val")
    settings = NetworkInput(normalize="imagenet", size=(48, 48))
    found = attention_matrices(model, shapes, records, settings, CPU)
    assert list(found) == [record.image for record in records]
    picture = torch.from_numpy(read_picture(shapes.root / records[1].path).copy()).permute(2, 0, 1)
    expected = torch.cat(patch_attention(model, normalise(picture, "imagenet")[None]))
    np.testing.assert_allclose(found[records[1].image], expected.numpy(), atol=1e-6)
