"""The measurement of noise robustness against the textbook formulas."""

import json
import math

import numpy as np
import pytest
import torch
from exvit_toys import small
from hypothesis import given
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.map_similarity import similarities
from seedbed.evaluate.noise import NoiseRobustness
from seedbed.explain import explain

STD = (0.2, 0.3, 0.5)


def cosine(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)


def ranks(values):
    """Rank from 1; equal values share the mean of their ranks."""
    below = lambda v: sum(other < v for other in values)  # noqa: E731
    return [below(v) + (values.count(v) + 1) / 2 for v in values]


def spearman(x, y):
    """Pearson's correlation of the ranks."""
    first, second = ([r - (len(x) + 1) / 2 for r in ranks(values)] for values in (x, y))
    return cosine(first, second)


@given(
    pair=st.integers(2, 8).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(-4, 4).map(float), min_size=n, max_size=n) for _ in range(2)])
    )
)
def test_similarities_equal_their_formulas(pair):
    found = similarities(*(np.array(values) for values in pair))
    zero = any(not any(values) for values in pair)
    constant = any(len(set(values)) == 1 for values in pair)
    assert np.isnan(found[0]) if zero else found[0] == pytest.approx(cosine(*pair), abs=1e-12)
    assert np.isnan(found[1]) if constant else found[1] == pytest.approx(spearman(*pair), abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_undefined(bad):
    one, other = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]), np.array([[1.0, bad, 3.0], [1.0, 2.0, 3.0]])
    found = similarities(one, other)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def first_channel(images):
    """An explanation that shows the noise as it is."""
    return images[:, 0]


def pictures(count=3, seed=0):
    return torch.randn(count, 3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def measured(levels=(0.1, 0.4), explanation=first_channel, images=None, **options):
    test = NoiseRobustness(levels, **options)
    images = pictures() if images is None else images
    test.update(explanation, images, range(len(images)), STD)
    return test


def test_noise_is_gaussian_of_the_level_in_units_of_the_pixel_range():
    """The noise that an explanation sees: the level over the channel's divisor, the same draw at every level."""
    seen = []
    images = torch.zeros(1, 3, 60, 60, dtype=torch.float64)
    measured((0.1, 0.4), lambda x: seen.append(x) or torch.rand(1, 2, 2), images)
    clean, low, high = seen
    assert torch.equal(clean, images)
    torch.testing.assert_close(high, 4 * low)
    for channel, std in enumerate(STD):
        assert float(low[0, channel].std()) == pytest.approx(0.1 / std, rel=0.05)
        assert float(low[0, channel].mean()) == pytest.approx(0.0, abs=0.1 / std / 10)


def test_the_result_is_the_mean_over_pictures_by_hand():
    images, seen = pictures(), []

    def spy(x):
        seen.append(x[:, 0].flatten(1).tolist())
        return x[:, 0]

    result = measured(explanation=spy, images=images).result()
    clean, *noisy = seen
    for position, maps in enumerate(noisy):
        for name, formula in (("cosine", cosine), ("rank_correlation", spearman)):
            values = [formula(one, other) for one, other in zip(clean, maps, strict=True)]
            assert result[name][position] == pytest.approx(np.mean(values), abs=1e-12)
            assert result[f"{name}_std"][position] == pytest.approx(np.std(values), abs=1e-12)
    assert result["levels"] == [0.1, 0.4]
    assert (result["images"], result["undefined_maps"]) == (3, 0)


def test_more_noise_less_similarity_and_a_fixed_map_keeps_all():
    for result in (measured((0.01, 0.1, 1.0), images=pictures(20)).result(),):
        for name in ("cosine", "rank_correlation"):
            assert 1 > result[name][0] > result[name][1] > result[name][2] > -1
    still = measured(explanation=lambda x: torch.arange(6.0).reshape(1, 2, 3).expand(len(x), -1, -1)).result()
    assert still["cosine"] == pytest.approx([1, 1])
    assert still["rank_correlation"] == pytest.approx([1, 1])


@given(split=st.integers(1, 4), order=st.permutations(range(5)))
def test_batches_order_and_merges_change_nothing(split, order):
    images = pictures(5)
    expected = NoiseRobustness((0.1, 0.3), repeats=2)
    expected.update(first_channel, images, range(5), STD)
    parts = [NoiseRobustness((0.1, 0.3), repeats=2) for _ in range(2)]
    for part, chosen in zip(parts, (order[:split], order[split:]), strict=True):
        for number in chosen:
            part.update(first_channel, images[number : number + 1], [number], STD)
    parts[0].merge(NoiseRobustness.from_dict(json.loads(json.dumps(parts[1].to_dict()))))
    assert parts[0].result() == expected.result()


def test_repeats_and_seeds_draw_other_noise():
    results = [measured(**options).result()["cosine"] for options in ({}, {"seed": 1}, {"repeats": 2})]
    assert results[0] != results[1]
    assert results[0] != results[2]


def test_a_picture_weighs_one_however_many_maps_it_has():
    """Maps of two classes an image, of which the second is constant and left out."""
    images = pictures()

    def two(x):
        return torch.stack([x[:, 0], torch.ones_like(x[:, 0])], dim=1)

    result, single = measured(explanation=two, images=images).result(), measured(images=images).result()
    assert result["rank_correlation"] == pytest.approx(single["rank_correlation"])
    assert result["undefined_maps"] == 3 * 2
    assert result["cosine"] == pytest.approx([(value + 1) / 2 for value in single["cosine"]])


def test_nothing_defined_is_none():
    result = measured(explanation=lambda x: torch.zeros(len(x), 2, 2)).result()
    assert result["cosine"] == result["rank_correlation_std"] == [None, None]
    assert json.loads(json.dumps(measured(explanation=lambda x: torch.zeros(len(x), 2, 2)).to_dict()))


def test_both_kinds_of_attention_can_be_measured():
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for kind in ("emha", "softmax"):
        model = small(attention=kind)
        test = NoiseRobustness((0.02, 0.5))
        test.update(lambda x, model=model: explain(model, x, [0, 1], "emha_attention"), images, [0, 1], (0.5, 0.5, 0.5))
        cosines = test.result()["cosine"]
        assert 1 > cosines[0] > cosines[1] > 0


def test_mistakes_are_named():
    for levels in ((), (0.0, 0.1), (0.2, 0.1), (0.1, 0.1)):
        with pytest.raises(ParameterError, match="levels must be ascending"):
            NoiseRobustness(levels)
    with pytest.raises(ParameterError, match="repeats"):
        NoiseRobustness(repeats=0)
    test = measured()
    with pytest.raises(DataError, match="a number of its own"):
        test.update(first_channel, pictures(2), [5, 5], STD)
    with pytest.raises(DataError, match="a number of its own"):
        test.update(first_channel, pictures(1), [2], STD)
    with pytest.raises(DataError, match="different settings"):
        test.merge(NoiseRobustness((0.1, 0.5)))
    with pytest.raises(DataError, match="Image 0 was counted twice"):
        test.merge(measured())
    with pytest.raises(DataError, match="nothing to measure"):
        NoiseRobustness().result()
