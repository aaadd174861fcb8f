"""Views of images at inference, and reading them ahead of use."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seedbed.data.ahead import read_ahead
from seedbed.data.normalise import normalise
from seedbed.data.views import view
from seedbed.errors import ParameterError


def picture(height=5, width=7):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def pixels(array):
    return normalise(torch.from_numpy(np.asarray(array).copy()).permute(2, 0, 1), "imagenet")


def test_the_picture_as_it_is():
    found = view(picture(), size=None, normalisation="imagenet")
    assert (found.dtype, found.shape) == (torch.float32, (3, 5, 7))
    assert torch.equal(found, pixels(picture()))
    assert torch.equal(view(picture(), size=(5, 7), normalisation="imagenet"), found)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_squashing_is_pillows_on_the_bytes(name):
    resized = Image.fromarray(picture()).resize((12, 9), getattr(Image.Resampling, name.upper()))
    found = view(picture(), size=(9, 12), interpolation=name, normalisation="imagenet")
    assert torch.equal(found, pixels(resized))
    mirrored = view(picture(), size=(9, 12), flip=True, interpolation=name, normalisation="imagenet")
    assert torch.equal(mirrored, found.flip(-1))


@pytest.mark.parametrize(("scale", "shape"), [(0.5, (2, 4)), (1.5, (8, 10)), (2.0, (10, 14)), (0.01, (1, 1))])
def test_scaled_sides_are_rounded_half_to_even(scale, shape):
    """5 and 7 times 0.5 are 2.5 and 3.5; times 1.5 they are 7.5 and 10.5."""
    assert view(picture(), size=None, scale=scale, normalisation="half").shape == (3, *shape)
    assert view(picture(20, 30), size=(5, 7), scale=scale, normalisation="half").shape == (3, *shape)


def test_the_given_picture_is_not_written_to():
    given = picture()
    given.setflags(write=False)
    view(given, size=None, normalisation="half").zero_()
    np.testing.assert_array_equal(given, picture())


def test_unknown_normalisation():
    with pytest.raises(ParameterError, match=r"Unknown normalisation 'halv'. Did you mean 'half'"):
        view(picture(), size=None, normalisation="halv")


@given(st.lists(st.integers(), max_size=60), st.integers(1, 4), st.integers(1, 20))
def test_results_come_in_order(items, threads, depth):
    assert list(read_ahead(items, lambda item: item * 2, threads, depth)) == [item * 2 for item in items]


def test_slow_items_do_not_overtake():
    def work(item):
        time.sleep(0.02 if item % 5 == 0 else 0)
        return item

    assert list(read_ahead(range(20), work, threads=4, depth=8)) == list(range(20))


def test_no_more_than_depth_items_are_read_ahead():
    taken = []

    def items():
        for item in range(50):
            taken.append(item)
            yield item

    for number, _ in enumerate(read_ahead(items(), lambda item: item, threads=2, depth=6)):
        assert len(taken) <= min(50, number + 6)
    assert len(taken) == 50


def test_an_error_comes_where_its_result_would_have():
    def work(item):
        if item == 3:
            raise ValueError("the fourth")
        return item

    seen = []
    with pytest.raises(ValueError, match="the fourth"):
        for result in read_ahead(range(10), work):
            seen.append(result)
    assert seen == [0, 1, 2]


def test_stopping_early_ends_its_threads():
    before = threading.active_count()
    stream = read_ahead(range(1000), lambda item: item)
    assert next(stream) == 0
    stream.close()
    assert threading.active_count() == before
