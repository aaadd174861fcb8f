"""Where attention goes, by hand, by loops over pairs, and over images."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layered_models import network

from seedbed.data.images import read_mask, read_picture
from seedbed.data.normalise import normalise
from seedbed.errors import DataError
from seedbed.evaluate.attention_concentration import (
    column_gini,
    count_concentration,
    diagonal_share,
    object_mass,
    object_shares,
)
from seedbed.evaluate.concentration_statistics import ConcentrationStatistics
from seedbed.evaluate.measurements import MEASUREMENTS
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.explain.attention_cams import patch_attention
from seedbed.params.stages import NetworkInput

CPU = torch.device("cpu")
SEEN = NetworkInput(normalize="imagenet", size=(48, 48))
torch.set_num_threads(1)


def attention(seed, count=6, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(3, count, count, generator=generator)).softmax(-1)


def test_diagonal_by_hand():
    assert diagonal_share(torch.eye(4)).item() == 1
    assert diagonal_share(torch.ones(2, 4, 4)).tolist() == [0.25, 0.25]
    assert diagonal_share(torch.tensor([[0.5, 0.5], [0.1, 0.3]])).item() == pytest.approx(0.8 / 1.4)


def test_gini_by_hand():
    """Columns that receive 1, 2 and 3: differences 1, 1 and 2, each twice, over 2 * 3 * 6."""
    assert column_gini(torch.tensor([[1.0, 0, 3], [0, 2, 0], [0, 0, 0]])).item() == pytest.approx(8 / 36)
    assert column_gini(torch.full((5, 5), 0.2)).item() == pytest.approx(0, abs=1e-12)
    assert column_gini(torch.eye(5)).item() == pytest.approx(0, abs=1e-12)
    one = torch.zeros(5, 5)
    one[:, 3] = 1
    assert column_gini(one).item() == pytest.approx(1 - 1 / 5)


@given(st.integers(0, 10**6), st.floats(0, 8))
def test_gini_equals_a_loop_and_knows_no_order(seed, sharpness):
    rows = attention(seed, sharpness=sharpness)
    received = rows.double().sum(1)
    expected = (received[:, :, None] - received[:, None]).abs().sum((1, 2)) / (2 * 6 * received.sum(1))
    torch.testing.assert_close(column_gini(rows), expected, rtol=0, atol=1e-9)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(column_gini(rows[:, order][:, :, order]), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(column_gini(3 * rows), expected, rtol=0, atol=1e-6)
    assert ((expected >= 0) & (expected <= 5 / 6)).all()


def test_the_mask_is_resized_to_patches_by_area():
    truth = np.array([[0, 0, 3, 3], [0, 0, 3, 255], [0, 1, 255, 255], [0, 1, 255, 255]], np.uint8)
    shares = object_shares(truth, (2, 2))
    assert shares.object.tolist() == [0, 0.75, 0.5, 0]
    assert shares.background.tolist() == [1, 0, 0.5, 0]


def test_object_mass_by_hand():
    """Columns receive 1, 2, 3 and 4; the last is void, the object has three quarters of the second, half the third."""
    shares = object_shares(
        np.array([[0, 0, 3, 3], [0, 0, 3, 255], [0, 1, 255, 255], [0, 1, 255, 255]], np.uint8), (2, 2)
    )
    given = torch.zeros(4, 4)
    given[0] = torch.tensor([1.0, 2, 3, 4])
    found = 2 * 0.75 + 3 * 0.5
    assert object_mass(given, shares).item() == pytest.approx(found / (found + 1 + 3 * 0.5))
    even = object_mass(torch.ones(4, 4), shares).item()
    assert even == pytest.approx(1.25 / 2.75)  # the object's share of the known area
    with pytest.raises(DataError, match="4 patches, the attention 3"):
        object_mass(torch.ones(3, 3), shares)


@pytest.mark.parametrize("wrong", [torch.zeros(2, 2), -torch.eye(2), torch.ones(2, 3), torch.tensor([[torch.nan]])])
def test_what_is_no_attention_is_refused(wrong):
    for measure in (diagonal_share, column_gini):
        with pytest.raises(DataError, match="finite, not negative"):
            measure(wrong)


@pytest.mark.parametrize("method", ["mct_refined", "transcam"])
def test_statistics_are_means_over_images(method, shapes):
    model, records = network(method, shapes), shapes.split("val")
    counts = count_concentration(model.train(), shapes, records, SEEN, CPU)
    found = counts.result()
    expected = {"diagonal": [], "gini": [], "object": []}
    for record in records:
        pixels = torch.from_numpy(read_picture(shapes.root / record.path).copy()).permute(2, 0, 1)
        layers = torch.cat(patch_attention(model, normalise(pixels, "imagenet")[None]))
        side = int(layers.shape[-1] ** 0.5)
        shares = object_shares(read_mask(shapes.root / record.mask, record.size, len(shapes.classes)), (side, side))
        expected["diagonal"].append(diagonal_share(layers).numpy())
        expected["gini"].append(column_gini(layers).numpy())
        expected["object"].append(object_mass(layers, shares).numpy())
    for name, values in expected.items():
        layers = np.mean(values, 0)
        np.testing.assert_allclose(found[f"{name}_per_layer"], layers, rtol=1e-6)
        assert found[f"{name}_shallow"] == pytest.approx(layers[:2].mean())  # of three layers, the middle one in both
        assert found[f"{name}_deep"] == pytest.approx(layers[1:].mean())
    assert 0 < found["object_area"] < 1 and found["images"] == found["images_with_object"] == len(records)
    halves = [count_concentration(model, shapes, records[k::2], SEEN, CPU) for k in (0, 1)]
    merged = merge_protocol("attention_concentration", [json.loads(json.dumps(half.to_dict())) for half in halves])
    for name, value in found.items():
        np.testing.assert_allclose(merged[name], value, rtol=1e-9)
    assert {*found} - {"images", "images_with_object"} == set(
        "diagonal_per_layer diagonal_shallow diagonal_deep gini_per_layer gini_shallow gini_deep object_per_layer "
        "object_shallow object_deep object_area".split()
    )


def test_statistics_go_on_from_those_of_the_images_before(shapes):
    model, records = network("mct_refined", shapes), shapes.split("val")
    whole = count_concentration(model, shapes, records, SEEN, CPU).to_dict()
    kept = json.loads(json.dumps(count_concentration(model, shapes, records[:3], SEEN, CPU).to_dict()))
    begun = ConcentrationStatistics.from_dict(kept)
    assert count_concentration(model, shapes, iter(records[3:]), SEEN, CPU, begun=begun).to_dict() == whole


def test_an_image_without_an_object_counts_for_the_rest():
    statistics = ConcentrationStatistics()
    statistics.update(diagonal=[1], gini=[0.5], on_object=None, area=0)
    with pytest.raises(DataError, match="no images with an object"):
        statistics.result()
    statistics.update(diagonal=[0.5], gini=[0.25], on_object=[0.75], area=0.5)
    found = statistics.result()
    assert found["diagonal_per_layer"] == [0.75] and found["object_per_layer"] == [0.75]
    assert found["gini_shallow"] == found["gini_deep"] == 0.375
    assert found["object_area"] == 0.5 and (found["images"], found["images_with_object"]) == (2, 1)
    with pytest.raises(DataError, match="of 2 layers to that of 1"):
        statistics.update(diagonal=[1, 1], gini=[0, 0], on_object=None, area=0)


def test_shards_merge_without_torch():
    program = (
        "import sys; from seedbed.evaluate.merged_counts import merge_protocol as merge\n"
        "count = {'totals': {name: [1.0] for name in ('diagonal', 'gini', 'object')}, 'area': 1.0}\n"
        "print(merge('attention_concentration', [{**count, 'images': 1, 'with_object': 1}]), 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip().endswith("False") and "'gini_deep': 1.0" in ran.stdout


def test_what_it_is_called_in_footnotes():
    assert "mean over heads" in MEASUREMENTS.find("attention_concentration").describe({})
