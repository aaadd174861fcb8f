"""Neighbour pairs and confident labels against explicit loops over cells."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.refine import (
    affinity_labels,
    affinity_matrix,
    affinity_offsets,
    affinity_pair_indices,
    confident_labels,
    confident_labels_from_scores,
    mean_pool,
    shrink_radius,
)

maps = st.builds(
    lambda seed, h, w: np.random.default_rng(seed).choice([0, 0, 1, 2, 255], (h, w)).astype(np.uint8),
    st.integers(0, 2**16),
    st.integers(5, 9),
    st.integers(9, 14),
)


def looped_labels(label_map, radius):
    """Bg-positive, fg-positive and negative, one pair at a time."""
    h, w = label_map.shape
    result = []
    for dy, dx in affinity_offsets(radius):
        for y in range(h - radius + 1):
            for x in range(radius - 1, w - radius + 1):
                a, b = int(label_map[y, x]), int(label_map[y + dy, x + dx])
                valid = 255 not in (a, b)
                result.append((a == b == 0, valid and a == b != 0, valid and a != b))
    return np.array(result, np.uint8).T.reshape(3, len(affinity_offsets(radius)), -1)


def test_offsets_by_hand():
    assert affinity_offsets(2).tolist() == [[0, 1], [1, -1], [1, 0], [1, 1]]
    assert affinity_offsets(3).tolist() == [
        [0, 1], [0, 2],
        [1, -2], [1, -1], [1, 0], [1, 1], [1, 2],
        [2, -2], [2, -1], [2, 0], [2, 1], [2, 2],
    ]  # fmt: skip
    assert len(affinity_offsets(5)) == 34


def test_pair_indices_by_hand():
    origin, target = affinity_pair_indices(3, 4, 2)
    assert origin.tolist() == [1, 2, 5, 6]
    assert target.tolist() == [[2, 3, 6, 7], [4, 5, 8, 9], [5, 6, 9, 10], [6, 7, 10, 11]]


@settings(max_examples=20, deadline=None)
@given(maps, st.sampled_from([2, 3, 5]))
def test_labels_equal_the_loop_for_numpy_and_torch(label_map, radius):
    expected = looped_labels(label_map, radius)
    ours = affinity_labels(label_map, radius)
    assert all(pairs.dtype == np.uint8 for pairs in ours)
    assert np.array_equal(np.stack(ours), expected)
    tensors = affinity_labels(torch.from_numpy(label_map).long(), radius)
    assert all(pairs.dtype == torch.uint8 for pairs in tensors)
    assert np.array_equal(torch.stack(tensors).numpy(), expected)


def test_batched_labels_equal_one_by_one():
    batch = np.random.default_rng(0).choice([0, 1, 2, 255], (3, 7, 11))
    for ours, singles in zip(affinity_labels(batch), zip(*map(affinity_labels, batch), strict=True), strict=True):
        assert ours.shape == (3, 34, 9)
        assert np.array_equal(ours, np.stack(singles))


def test_matrix_equals_a_scatter():
    h, w, radius = 6, 10, 3
    origin, target = affinity_pair_indices(h, w, radius)
    pairs = np.random.default_rng(0).random(target.shape).astype(np.float32)
    expected = np.eye(h * w, dtype=np.float32)
    for row, values in zip(target, pairs, strict=True):
        expected[origin, row] = values
        expected[row, origin] = values
    matrix = affinity_matrix(pairs, h, w)
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix.toarray(), expected)


def test_radius_shrinks_on_small_maps():
    assert [shrink_radius(13, 15), shrink_radius(11, 40), shrink_radius(10, 17), shrink_radius(30, 7)] == [5, 5, 4, 3]


def test_pair_errors():
    with pytest.raises(DataError, match="5 x 8 cells is too small for radius 5: needs 5 x 9"):
        affinity_labels(np.zeros((5, 8), int))
    with pytest.raises(DataError, match="integers"):
        affinity_labels(np.zeros((9, 9)))
    with pytest.raises(DataError, match="integers"):
        affinity_labels(torch.zeros(9, 9))
    with pytest.raises(DataError, match=r"\[h, w\]"):
        affinity_labels(np.zeros(9, int))
    with pytest.raises(DataError, match="no radius"):
        affinity_matrix(np.zeros((34, 7)), 9, 13)
    with pytest.raises(ParameterError, match="radius"):
        affinity_offsets(1)


def test_confident_rules_by_hand():
    low = np.array([0, 0, 3, 3])
    high = np.array([0, 2, 0, 3])
    assert confident_labels(low, high, "psa").tolist() == [0, 255, 0, 3]
    assert confident_labels(low, high, "vit_affinity").tolist() == [0, 255, 0, 3]
    assert confident_labels(low, high, "transcam").tolist() == [0, 255, 3, 3]
    # Where the runs disagree on the foreground class, the low one counts.
    assert confident_labels(np.array([1]), np.array([2])).tolist() == [1]
    with pytest.raises(ParameterError, match="Did you mean 'transcam'"):
        confident_labels(low, high, "transcan")
    with pytest.raises(DataError, match="differ in shape"):
        confident_labels(low, high[:2])


def test_confident_labels_ignore_padding_only_for_psa():
    scores = np.zeros((2, 4, 8), np.float32)
    scores[1, :, :4] = 0.9
    assert confident_labels_from_scores(scores, scores, pool=4).tolist() == [[1, 255]]
    assert confident_labels_from_scores(scores, scores, rule="vit_affinity", pool=4).tolist() == [[1, 0]]
    unscored = confident_labels_from_scores(scores, scores, rule="vit_affinity", pool=4, ignore_unscored=True)
    assert unscored.tolist() == [[1, 255]]


def test_mean_pool_pads_with_zeros():
    assert mean_pool(np.arange(16.0).reshape(4, 4), 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert mean_pool(np.ones((1, 3, 2), np.float32), 2).tolist() == [[[1.0], [0.5]]]
    with pytest.raises(ParameterError, match="window"):
        mean_pool(np.ones((2, 2)), 0)
