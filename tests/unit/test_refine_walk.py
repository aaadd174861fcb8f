"""Random walk against dense matrix powers, for every kind of affinity."""

import math
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from seedbed.errors import DataError, ParameterError
from seedbed.refine import affinity_matrix, affinity_pair_indices, random_walk, walk


def grid(h=9, w=12, radius=3, channels=4, seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.random((channels, h, w))
    return maps, rng.random(affinity_pair_indices(h, w, radius)[1].shape)


def dense_walk(maps, affinity, beta, steps):
    weights = affinity.astype(np.float64) ** beta
    transition = np.linalg.matrix_power(weights / weights.sum(axis=0), steps)
    return (maps.reshape(len(maps), -1) @ transition).reshape(maps.shape)


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 64, 256, 1000, 4096])
def test_pairs_equal_dense_powers(steps):
    maps, pairs = grid()
    expected = dense_walk(maps, affinity_matrix(pairs, 9, 12).toarray(), 3, steps)
    np.testing.assert_allclose(random_walk(maps, pairs, 3, steps), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kept", [1.0, 0.05])
def test_matrices_equal_dense_powers(symmetric, kept):
    maps, _ = grid(5, 7)
    rng = np.random.default_rng(1)
    affinity = rng.random((35, 35)) * (rng.random((35, 35)) < kept) + np.eye(35)
    if symmetric:
        affinity += affinity.T
    expected = dense_walk(maps, affinity, 2, 200)
    for form in (affinity, sparse.csr_array(affinity), sparse.coo_matrix(affinity), torch.from_numpy(affinity)):
        np.testing.assert_allclose(random_walk(maps, form, 2, 200), expected, rtol=0, atol=1e-11)


def test_a_step_by_hand():
    # Two cells: the second pulls from both, weighted 1 : 3 after beta = 1.
    affinity = np.array([[1.0, 1.0], [0.0, 3.0]])
    walked = random_walk(np.array([[[8.0, 4.0]]]), affinity, 1, 1)
    assert walked.tolist() == [[[8.0, 5.0]]]


def test_given_matrix_is_not_changed():
    maps, pairs = grid()
    matrix = sparse.csr_array(affinity_matrix(pairs, 9, 12))
    matrix.data[::3] = 0
    matrix.setdiag(1)
    before = matrix.copy()
    random_walk(maps, matrix, 2, 4)
    assert matrix.nnz == before.nnz
    assert np.array_equal(matrix.data, before.data)


def test_kind_and_dtype_follow_the_maps():
    maps, pairs = grid()
    single = random_walk(maps.astype(np.float32), pairs.astype(np.float32), 4, 32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, random_walk(maps, pairs, 4, 32), atol=1e-6)
    tensor = random_walk(torch.from_numpy(maps).half(), torch.from_numpy(pairs), 4, 32)
    assert tensor.dtype == torch.float16
    np.testing.assert_allclose(tensor.float().numpy(), single, atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 40), st.integers(0, 90), st.floats(0.5, 12))
def test_walks_add_up_and_stay_in_range(seed, first, second, beta):
    maps, pairs = grid(seed=seed)
    maps[1] = 0.25
    maps[2] = 0
    walked = random_walk(random_walk(maps, pairs, beta, first), pairs, beta, second)
    np.testing.assert_allclose(walked, random_walk(maps, pairs, beta, first + second), atol=1e-10)
    assert walked.min() >= -1e-10
    assert walked.max() <= maps.max() + 1e-10
    np.testing.assert_allclose(walked[1], 0.25, atol=1e-10)
    assert not walked[2].any()


def test_no_maps_and_only_empty_maps():
    maps, pairs = grid()
    assert random_walk(maps[:0], pairs, 2, 8).shape == (0, 9, 12)
    assert not random_walk(maps * 0, pairs, 2, 8).any()


def test_pairs_as_many_as_offsets_are_still_pairs():
    # 6 x 25 cells have 2 * 17 = 34 "from" cells at radius 5, as many as there are offsets.
    maps, pairs = grid(6, 25, 5)
    assert pairs.shape == (34, 34)
    expected = dense_walk(maps, affinity_matrix(pairs, 6, 25).toarray(), 2, 5)
    np.testing.assert_allclose(random_walk(maps, pairs, 2, 5), expected, atol=1e-12)


def test_errors_name_the_fault():
    maps, pairs = grid()
    with pytest.raises(ParameterError, match="beta"):
        random_walk(maps, pairs, 0, 8)
    with pytest.raises(ParameterError, match=r"2\.5"):
        random_walk(maps, pairs, 2, 2.5)
    with pytest.raises(DataError, match=r"\[K, h, w\]"):
        random_walk(maps[0], pairs, 2, 8)
    with pytest.raises(DataError, match="int64"):
        random_walk(maps.astype(int), pairs, 2, 8)
    with pytest.raises(DataError, match="108 x 108"):
        random_walk(maps, sparse.eye_array(5), 2, 8)
    with pytest.raises(DataError, match="no radius"):
        random_walk(maps, np.ones((5, 4)), 2, 8)
    with pytest.raises(DataError, match="not negative"):
        random_walk(maps, -pairs, 2, 8)
    with pytest.raises(DataError, match="list"):
        random_walk(maps, pairs.tolist(), 2, 8)
    isolated = np.eye(108)
    isolated[7, 7] = 0
    with pytest.raises(DataError, match="Cell 7"):
        random_walk(maps, isolated, 2, 8)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8, 31, 256, 257, 1000])
def test_series_of_a_power_is_the_exact_one(steps):
    """Every coefficient from its own binomial, in whole numbers."""
    exact = [2 * comb(steps, (steps - k) // 2) / 2**steps if (steps - k) % 2 == 0 else 0.0 for k in range(steps + 1)]
    exact[0] /= 2
    found = walk._chebyshev_power(steps)
    assert found.tolist() == [*exact, 0.0][: len(found)] and sum(exact[len(found) :]) < 1e-13


@pytest.mark.parametrize("steps", [2**13, 2**14])
def test_series_of_a_high_power_is_short_and_sums_to_one(steps):
    """x^t is 1 at x = 1, where every Chebyshev polynomial is 1."""
    found = walk._chebyshev_power(steps)
    assert len(found) < 8 * steps**0.5 and abs(found.sum() - 1) < 2e-13


@pytest.mark.parametrize("steps", [2**20, 2**20 + 1])
def test_a_million_steps_have_the_coefficients_of_the_binomials(steps):
    found = walk._chebyshev_power(steps)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    for k in (steps % 2, 1000 + steps % 2, 5000 + steps % 2):
        lower = (steps - k) // 2
        exact = math.lgamma(steps + 1) - math.lgamma(lower + 1) - math.lgamma(steps - lower + 1) - steps * math.log(2)
        assert found[k] == pytest.approx(math.exp(exact) * (1 if k == 0 else 2), rel=1e-7)
