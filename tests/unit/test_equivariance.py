"""Maps of changed images: each change by hand, and what a map that follows it, or does not, is given."""

import json

import numpy as np
import pytest
import torch
from exvit_toys import small
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.equivariance import Equivariance
from seedbed.evaluate.image_changes import coloured, mirrored, scaled, shifted
from seedbed.evaluate.map_similarity import similarities
from seedbed.explain import explain, upsample

ROWS = torch.arange(16.0).reshape(1, 4, 4)


def pictures(count=3, seed=0, size=(8, 12)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def first_channel(images):
    """A map that shows the image as it is: it follows every move."""
    return images[:, 0]


def measured(explanation=first_channel, images=None, **options):
    test = Equivariance(**options)
    images = pictures() if images is None else images
    test.update(explanation, images, range(len(images)))
    return test


def test_a_shift_by_hand():
    change = shifted(1, -2, (4, 4))
    moved = change.image(ROWS)
    assert moved[0].tolist() == [[2, 3, 3, 3], [2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]
    assert ROWS[0][change.region].tolist() == [[2, 3], [6, 7], [10, 11]]  # all that the moved image still shows
    assert torch.equal(change.back(moved), ROWS[:, change.region[0], change.region[1]])


def test_scales_by_hand():
    """Half the size: means of blocks weighted by a smoothing filter; twice: the middle between its pixels."""
    ramp = torch.arange(8.0).expand(1, 8, 8)
    smaller = scaled(0.5, (8, 8)).image(ramp)
    # Weights 1, 3, 3, 1 over eight; at the edge, what of them lies inside.
    inner = [5 / 7, 2.5, 4.5, 44 / 7]
    torch.testing.assert_close(smaller[0, 4, 2:6], torch.tensor(inner))
    assert (smaller[0, :, :2] == smaller[0, :, 2:3]).all() and (smaller[0, :, 6:] == smaller[0, :, 5:6]).all()
    larger = scaled(2.0, (8, 8))
    assert larger.region == (slice(2, 6), slice(2, 6))
    torch.testing.assert_close(larger.image(ramp)[0, 0], torch.tensor([2.0, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.0]))


FACTORS, SIDES = st.sampled_from([0.3, 0.5, 0.75, 0.9, 1.25, 1.6, 3.0]), st.integers(4, 20)


@given(factor=FACTORS, height=SIDES, width=SIDES)
def test_a_scaled_smooth_image_comes_back(factor, height, width):
    down, right = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    image = torch.stack([1 + down, 1 + right, 2 - down]).double()
    change = scaled(factor, (height, width))
    changed = change.image(image)
    back, own = change.back(changed), image[:, change.region[0], change.region[1]]
    assert changed.shape == image.shape and back.shape == own.shape
    assert (back - own).abs().max() < 1.5 / (min(1, factor) * min(height, width))  # a pixel and a half
    torch.testing.assert_close(change.image(torch.full_like(image, 0.3)), torch.full_like(image, 0.3))


def test_colours_by_hand():
    image = torch.tensor([0.2, 0.4, 0.8], dtype=torch.float64).view(3, 1, 1).expand(3, 2, 2)
    grey = 0.2989 * 0.2 + 0.587 * 0.4 + 0.114 * 0.8
    for factors, expected in (
        ((1.5, 1.0, 1.0), [0.3, 0.6, 1.0]),
        ((1.0, 0.5, 1.0), [(value + grey) / 2 for value in (0.2, 0.4, 0.8)]),
        ((1.0, 1.0, 0.0), [grey, grey, grey]),
    ):
        found = coloured(*factors).image(image)
        torch.testing.assert_close(found[:, 0, 0], torch.tensor(expected, dtype=torch.float64), atol=1e-3, rtol=0)


def test_a_map_that_follows_is_alike_and_one_that_stays_is_not():
    options = {"scales": (), "shifts": (0.25,), "colours": ()}
    assert measured(**options).result()["cosine"] == pytest.approx([1, 1])
    corner = torch.zeros(8, 12)
    corner[:3, :4] = 1
    stays = measured(lambda x: corner.expand(len(x), 8, 12), **options).result()
    assert stays["cosine"][0] == 0  # the other corner
    assert stays["cosine"][1] < 0.8
    blind = measured(lambda x: corner.expand(len(x), 8, 12), flip=False, scales=(), shifts=(), colours=(0.4, 1.0))
    assert blind.result()["cosine"] == pytest.approx([1, 1])


def test_the_result_is_the_mean_over_pictures_by_hand():
    """Mirrored: what the explanation is given, compared pixel by pixel."""
    images, weight = pictures(), torch.linspace(0, 1, 12, dtype=torch.float64)

    def leans(x):
        return x[:, 0] * weight

    result = measured(leans, images, scales=(), shifts=(), colours=()).result()
    pairs = zip(leans(images), leans(images.flip(-1)).flip(-1), strict=True)
    values = np.array([similarities(one.flatten().numpy(), other.flatten().numpy()) for one, other in pairs])
    assert result["changes"] == ["flip"]
    assert result["cosine"][0] == pytest.approx(values[:, 0].mean(), abs=1e-12)
    assert result["rank_correlation_std"][0] == pytest.approx(values[:, 1].std(), abs=1e-12)
    assert (result["images"], result["undefined_maps"]) == (3, 0)


def test_amounts_share_the_draw_and_directions_are_all_four():
    seen = []
    images = torch.zeros(40, 3, 8, 8)
    images[:, :, 4, 4] = 1
    measured(lambda x: seen.append(x) or x[:, 0], images, flip=False, scales=(), shifts=(0.125, 0.25), colours=())
    near, far = ([divmod(int(one[0].argmax()), 8) for one in batch] for batch in seen[1:])
    assert {*near} == {(3, 3), (3, 5), (5, 3), (5, 5)}
    assert [(2 * down - 4, 2 * right - 4) for down, right in near] == far


@settings(max_examples=10)
@given(split=st.integers(1, 4), order=st.permutations(range(5)))
def test_batches_order_and_merges_change_nothing(split, order):
    images, options = pictures(5), {"shifts": (0.1, 0.2), "seed": 3}
    expected = Equivariance(**options)
    expected.update(first_channel, images, range(5))
    parts = [Equivariance(**options) for _ in range(2)]
    for part, chosen in zip(parts, (order[:split], order[split:]), strict=True):
        for number in chosen:
            part.update(first_channel, images[number : number + 1], [number])
    parts[0].merge(Equivariance.from_dict(json.loads(json.dumps(parts[1].to_dict()))))
    assert parts[0].result() == expected.result()
    other = measured(images=images, **{**options, "seed": 4}).result()
    assert other["cosine"][-1] != expected.result()["cosine"][-1]


def test_undefined_maps_are_counted_and_left_out():
    """The second class of each image has a map of zeros."""
    two = lambda x: torch.stack([x[:, 0], torch.zeros_like(x[:, 0])], dim=1)  # noqa: E731
    found, single = measured(two).result(), measured().result()
    assert found["cosine"] == single["cosine"] and found["undefined_maps"] == 3 * 5
    nothing = measured(lambda x: torch.zeros(len(x), 8, 12)).result()
    assert nothing["cosine"] == [None] * 5


def test_a_network_can_be_measured():
    model, images = small(), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    test = Equivariance()
    test.update(lambda x: upsample(explain(model, x, [0, 1], "emha_attention"), (32, 32)), images, [4, 7])
    assert all(0 < value < 1 for value in test.result()["cosine"])


def test_mistakes_are_named():
    for options, problem in (
        ({"scales": (1.0,)}, "scales must be above 0 and not 1"),
        ({"scales": (0.5, 0.5)}, "each once"),
        ({"shifts": (1.0,)}, "shifts must be above 0 and below 1"),
        ({"colours": (1.5,)}, "colours must be above 0 and at most 1"),
        ({"flip": False, "scales": (), "shifts": (), "colours": ()}, "Nothing is changed: set flip"),
    ):
        with pytest.raises(ParameterError, match=problem):
            Equivariance(**options)
    test = measured()
    with pytest.raises(DataError, match="a number of its own"):
        test.update(first_channel, pictures(1), [2])
    with pytest.raises(DataError, match="not at the size of the images"):
        test.update(lambda x: x[:, 0, ::2], pictures(1), [9])
    with pytest.raises(DataError, match=r"must be \[B, 3, H, W\]"):
        test.update(first_channel, pictures(1)[:, :1], [9])
    with pytest.raises(DataError, match="different changes"):
        test.merge(Equivariance(seed=1))
    with pytest.raises(DataError, match="Image 0 was counted twice"):
        test.merge(measured())
    with pytest.raises(DataError, match="nothing to measure"):
        Equivariance().result()


def test_mirroring_twice_is_nothing():
    assert torch.equal(mirrored().back(mirrored().image(ROWS)), ROWS)
