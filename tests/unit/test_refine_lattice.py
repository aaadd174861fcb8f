"""The permutohedral lattice: simplices and filter by hand; inference against the published implementation."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import ParameterError, UserError
from seedbed.refine import (
    CRF_PRESETS,
    CrfSettings,
    dense_crf,
    dense_crf_labels,
    dense_crf_many,
    label_crf,
    mean_field_inference,
    permutohedral,
)
from seedbed.refine.permutohedral import Filters, build_lattice


def points(d=3, count=40, seed=0, spread=4.0):
    return spread * torch.rand(d, count, generator=torch.Generator().manual_seed(seed)) - spread / 2


def vertices_of(features):
    """Coordinates [d + 1 remainders, d + 1 axes, N] of each point's vertices, from corner and order."""
    corner, order, weights = permutohedral._simplices(features)
    d = len(features)
    found = [(d + 1) * corner]
    for remainder in range(1, d + 1):
        step = torch.ones_like(corner)
        step.scatter_(0, order[d + 1 - remainder][None], -float(d))
        found.append(found[-1] + step)
    return torch.stack(found), weights


@given(d=st.integers(1, 6), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_point_lies_in_its_simplex(d, seed):
    features = points(d, 25, seed)
    vertices, weights = vertices_of(features)
    assert torch.equal(vertices.sum(1), torch.zeros(d + 1, 25))
    remainders = torch.arange(d + 1)[:, None, None].expand_as(vertices)
    assert torch.equal(vertices.remainder(d + 1), remainders.float())
    assert weights.min() > -1e-5
    torch.testing.assert_close(weights.sum(0), torch.ones(25))
    elevated = permutohedral._elevated(features)
    torch.testing.assert_close((vertices * weights[:, None]).sum(0), elevated, atol=1e-4, rtol=0)
    # The plane's embedding keeps distances, scaled by the width of the blur.
    apart = (elevated[:, :1] - elevated[:, 1:]).norm(dim=0) / (features[:, :1] - features[:, 1:]).norm(dim=0)
    torch.testing.assert_close(apart, torch.full_like(apart, (2 / 3) ** 0.5 * (d + 1)), rtol=1e-3, atol=0)


def filtered_by_hand(features, values):
    """Splat, blur axis by axis and slice with dictionaries of vertices."""
    vertices, weights = vertices_of(features)
    d = len(features)
    keys = [[tuple(vertices[k, :, n].int().tolist()) for k in range(d + 1)] for n in range(features.shape[1])]
    lattice = {key: torch.zeros(values.shape[1]) for row in keys for key in row}
    for n, row in enumerate(keys):
        for k, key in enumerate(row):
            lattice[key] += weights[k, n] * values[n]
    for axis in range(d + 1):
        step = np.ones(d + 1, int)
        step[axis] = -d
        shifted = lambda key, sign, step=step: tuple((np.array(key) + sign * step).tolist())  # noqa: E731
        nothing = torch.zeros(values.shape[1])
        lattice = {
            key: value + (lattice.get(shifted(key, 1), nothing) + lattice.get(shifted(key, -1), nothing)) / 2
            for key, value in lattice.items()
        }
    kept = 1 / (1 + 2**-d)
    return torch.stack(
        [kept * sum(weights[k, n] * lattice[key] for k, key in enumerate(row)) for n, row in enumerate(keys)]
    )


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_the_filter_by_hand(d):
    features, values = points(d, 40), torch.rand(40, 3)
    torch.testing.assert_close(build_lattice(features).filter(values), filtered_by_hand(features, values))


def test_a_lattice_whose_cells_need_more_than_32_bits():
    features, values = points(5, 40, spread=400.0), torch.rand(40, 2)
    corner = permutohedral._simplices(features)[0]
    assert permutohedral._numbering(corner).dtype == torch.int64
    torch.testing.assert_close(build_lattice(features).filter(values), filtered_by_hand(features, values))
    with pytest.raises(ParameterError, match="so narrow"):
        build_lattice(features * 1e4)


def test_normalised_on_both_sides_weighted_and_joined():
    plain = [build_lattice(points(d, 60)) for d in (2, 4)]
    weighted = [lattice.normalised(weight) for lattice, weight in zip(plain, (3.0, 0.5), strict=True)]
    values = torch.rand(60, 2)
    expected = []
    for lattice, weight in zip(plain, (3.0, 0.5), strict=True):
        scale = lattice.filter(torch.ones(60, 1)) ** -0.5
        expected.append(weight * scale * lattice.filter(scale * values))
        torch.testing.assert_close(weighted[len(expected) - 1].filter(values), expected[-1])
    torch.testing.assert_close(Filters.of(*weighted).filter(values), sum(expected))


def test_points_that_fill_up_have_vertices_and_no_value():
    features, values = points(2, 5, spread=0.5) + 1, torch.rand(5, 2)
    filled = build_lattice(features, multiple=4).filter(values)
    padded = torch.cat([features, torch.zeros(2, 3)], 1)
    expected = filtered_by_hand(padded, torch.cat([values, torch.zeros(3, 2)]))[:5]
    torch.testing.assert_close(filled, expected)


def scene(height, width, labels, seed=0):
    """Patches of noisy colour, and scores that are smooth like a network's."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((labels + 3, 5, 6))
    smooth = np.kron(coarse, np.ones((1, -(-height // 5), -(-width // 6))))[:, :height, :width]
    image = (255 * smooth[:3].transpose(1, 2, 0)).clip(0, 247) + rng.integers(0, 8, (height, width, 3))
    scores = (smooth[3:] ** 3 + 0.05 * rng.random((labels, height, width))).astype(np.float32)
    return image.astype(np.uint8), scores / scores.sum(axis=0)


def reference(preset):
    return replace(CRF_PRESETS[preset], implementation="pydensecrf")


# Odd sizes: the published implementation fills the pixels up to fours.
@pytest.mark.parametrize("size", [(48, 64), (41, 53), (1, 30), (17, 1), (1, 1), (2, 3)])
@pytest.mark.parametrize("preset", sorted(CRF_PRESETS))
def test_as_pydensecrf(preset, size):
    for seed in range(3):
        image, scores = scene(*size, 4, seed)
        ours, expected = (dense_crf(image, scores, field) for field in (preset, reference(preset)))
        assert np.abs(ours - expected).max() < 1e-5
        assert np.array_equal(ours.argmax(0), expected.argmax(0))


@pytest.mark.parametrize("kind", ["flat", "black", "grey", "two colours", "ramp"])
def test_as_pydensecrf_where_points_lie_on_borders_of_simplices(kind):
    rng = np.random.default_rng(0)
    image, scores = scene(37, 29, 3)
    pixels = {
        "flat": np.full((37, 29, 1), 90),
        "black": np.zeros((37, 29, 1)),
        "grey": rng.integers(0, 256, (37, 29, 1)),
        "two colours": 255 * rng.integers(0, 2, (37, 29, 1)),
        "ramp": np.arange(29)[None, :, None] * np.full((37, 1, 1), 8),
    }[kind]
    image = np.broadcast_to(pixels, image.shape).astype(np.uint8)
    for preset in ("psa", "label_crf"):
        # One iteration: the filter itself, without what ten make of its last digits.
        ours, expected = (dense_crf(image, scores, field, iterations=1) for field in (preset, reference(preset)))
        assert np.abs(ours - expected).max() < 2e-6


def test_absent_labels_are_carried_as_one():
    image, scores = scene(40, 44, 3)
    stack = np.zeros((21, 40, 44), np.float32)
    stack[[0, 4, 19]] = scores
    stack[7] = 1e-5  # not more than what the unary term cuts at
    ours, expected = (dense_crf(image, stack, field) for field in ("psa", reference("psa")))
    assert np.abs(ours - expected).max() < 1e-5
    assert np.array_equal(ours.argmax(0), expected.argmax(0))
    np.testing.assert_allclose(ours.sum(0), 1, atol=1e-5)
    labels = scores.argmax(0)
    for merged in (True, False):
        ours, expected = (
            label_crf(image, labels, 21, preset=p, merge_absent=merged) for p in ("psa", reference("psa"))
        )
        assert np.array_equal(ours, expected)


def test_all_labels_absent():
    image, _ = scene(12, 10, 2)
    np.testing.assert_allclose(dense_crf(image, np.zeros((4, 12, 10), np.float32)), 1 / 4, rtol=1e-5)


def test_runs_of_one_image_share_its_lattices(monkeypatch):
    built, build = [], mean_field_inference.build_lattice
    monkeypatch.setattr(mean_field_inference, "build_lattice", lambda *features: built.append(1) or build(*features))
    image, scores = scene(20, 23, 3)
    runs = [scores, scores**2, scene(20, 23, 2, 1)[1], np.concatenate([scores, 0 * scores])]
    field = CrfSettings(2.125, 3, 40, 13, 10, iterations=4)
    together = dense_crf_many(image, runs, field)
    assert len(built) == 2  # of distance, and of distance and colour
    for ours, run in zip(together, runs, strict=True):
        assert np.array_equal(ours, dense_crf(image, run, field))
    assert len(built) == 2 + len(runs)  # an image of the same size shares the lattice of distance


def test_the_same_bits_again():
    image, scores = scene(60, 70, 3)
    assert np.array_equal(dense_crf(image, scores), dense_crf(image.copy(), scores.copy()))


def test_implementations_are_named():
    image, scores = scene(10, 12, 3)
    with pytest.raises(ParameterError, match="Did you mean 'lattice'"):
        dense_crf(image, scores, replace(CRF_PRESETS["psa"], implementation="latice"))
    assert np.array_equal(dense_crf_labels(image, scores, reference("psa")), dense_crf_labels(image, scores))


def test_pydensecrf_is_needed_only_where_it_is_chosen(monkeypatch):
    program = (
        "import sys; sys.modules['pydensecrf'] = None; import numpy as np; "
        "import seedbed.refine.crf, seedbed.refine.crf_labels, seedbed.refine.posteriors; "
        "from seedbed.refine import dense_crf; "
        "print(dense_crf(np.zeros((4, 5, 3), np.uint8), np.full((2, 4, 5), 0.5)).sum())"
    )
    assert float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout) == 20
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    image, scores = scene(10, 12, 3)
    with pytest.raises(UserError, match=r"pip install 'seedbed\[crf\]'"):
        dense_crf(image, scores, reference("psa"))


def test_more_labels_than_are_filtered_at_once():
    image, scores = scene(31, 36, 30)
    assert len(scores) > 2 * mean_field_inference.LABELS_AT_ONCE
    ours, expected = (dense_crf(image, scores, field) for field in ("psa", reference("psa")))
    assert np.abs(ours - expected).max() < 1e-5
    assert np.array_equal(ours.argmax(0), expected.argmax(0))
    together = dense_crf_many(image, [scores, scores**2], "psa")
    assert np.array_equal(together[0], ours)
    labels = scores.argmax(0)
    assert np.array_equal(label_crf(image, labels, 30), label_crf(image, labels, 30, preset=reference("label_crf")))
