"""Augmentation: image and mask move together, padding is zero and void, and a seed fixes every choice."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from seedbed.data.hsv_shift import hsv_to_rgb, rgb_to_hsv
from seedbed.data.normalise import NORMALISATIONS, normalisation, normalise
from seedbed.data.transforms import STEPS, VOID, build_transform
from seedbed.errors import ParameterError

HEIGHT, WIDTH = 12, 18
LOSSLESS = {
    "flip": [{"horizontal_flip": 0.5}],
    "crop inside": [{"crop": 7}],
    "crop with padding": [{"crop": 30}],
    "crop one way": [{"crop": 15}],
    "crop filled with background": [{"crop": {"size": 30, "mask_fill": 0}}],
    "shift": [{"shift": 5}],
    "all": [{"shift": 3}, {"horizontal_flip": 0.5}, {"crop": 16}],
}
EVERY_STEP = {
    "resize": 9,
    "resize_long_side": [10, 40],
    "random_scale": [0.5, 1.5],
    "horizontal_flip": 0.5,
    "hsv_shift": 20,
    "color_jitter": [0.3, 0.3, 0.3, 0.1],
    "random_resized_crop": {"size": 8, "scale": [0.3, 1.0]},
    "rand_augment": {"operations": 2, "magnitude": 9},
    "random_erasing": 0.7,
    "crop": 10,
    "shift": 4,
    "normalize": "imagenet",
    "colour_shift": [0.2, 0.2],
    "resize_short_side": {"side": 12, "bounds": [0.5, 2.0]},
    "balanced_crop": {"size": 8},
    "photometric_distortion": {},
    "toco_views": {"size": 16},
}


def coordinates():
    """An image that says where each pixel was, and a mask that says the same in its labels."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    picture = torch.stack([rows + 1, columns + 1, torch.full_like(rows, 200)]).to(torch.uint8)
    return tv_tensors.Image(picture), tv_tensors.Mask((rows * WIDTH + columns).to(torch.uint8))


def run(steps, seed, *inputs):
    torch.manual_seed(seed)
    return build_transform(steps)(*inputs)


@pytest.mark.parametrize("steps", LOSSLESS.values(), ids=LOSSLESS)
@given(seed=st.integers(0, 2**30))
def test_picture_and_mask_move_together(steps, seed):
    picture, mask = run(steps, seed, *coordinates())
    assert picture.shape[-2:] == mask.shape
    inside = (mask != VOID) & (picture[2] == 200)
    label = (picture[0].int() - 1) * WIDTH + picture[1].int() - 1
    assert inside.any()
    assert torch.equal(label[inside], mask[inside].int())


@given(seed=st.integers(0, 2**30), size=st.integers(5, 30), fill=st.sampled_from([0, 255]))
def test_padding_is_black_and_filled(seed, size, fill):
    picture, mask = run([{"crop": {"size": size, "mask_fill": fill}}], seed, *coordinates())
    assert picture.shape == (3, size, size)
    padded = picture[2] == 0
    assert (picture[:, padded] == 0).all()
    assert (mask[padded] == fill).all()
    assert int((~padded).sum()) == min(size, HEIGHT) * min(size, WIDTH)


def test_every_place_of_a_crop_is_reached():
    corners = {size: set() for size in (10, 15, 20)}
    for size, found in corners.items():
        for seed in range(400):
            picture = run([{"crop": size}], seed, coordinates()[0])
            rows, columns = np.nonzero(picture[2].numpy())
            found.add((int(picture[0].max()), int(rows[0]), int(picture[1].max()), int(columns[0])))
    assert len(corners[10]) == 3 * 9
    assert len(corners[15]) == 4 * 4
    assert len(corners[20]) == 9 * 3


def test_a_shift_repeats_the_border_and_voids_the_mask():
    places = set()
    for seed in range(200):
        picture, mask = run([{"shift": 2}], seed, *coordinates())
        down = int((mask != VOID).any(1).int().argmax()) - int(picture[0, 0, 0] - 1)
        right = int((mask != VOID).any(0).int().argmax()) - int(picture[1, 0, 0] - 1)
        places.add((down, right))
        rows = (torch.arange(HEIGHT) - down).clamp(0, HEIGHT - 1) + 1
        columns = (torch.arange(WIDTH) - right).clamp(0, WIDTH - 1) + 1
        assert torch.equal(picture[0], rows[:, None].expand(-1, WIDTH).to(torch.uint8))
        assert torch.equal(picture[1], columns.expand(HEIGHT, -1).to(torch.uint8))
        assert int((mask == VOID).sum()) == HEIGHT * WIDTH - (HEIGHT - abs(down)) * (WIDTH - abs(right))
    assert places == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


@pytest.mark.parametrize(
    "steps",
    [[{"resize_long_side": [20, 60]}], [{"random_scale": [0.4, 2.5]}], [{"resize": [30, 11]}], [{"resize": 25}]],
)
@given(seed=st.integers(0, 2**30))
def test_resized_masks_keep_their_labels_and_stay_on_the_picture(steps, seed):
    halves = torch.zeros(3, 24, 36, dtype=torch.uint8)
    halves[:, :, 18:] = 250
    picture, mask = run(steps, seed, tv_tensors.Image(halves), tv_tensors.Mask((halves[0] > 0).to(torch.uint8) * 7))
    assert picture.shape[-2:] == mask.shape
    assert set(mask.unique().tolist()) == {0, 7}
    differ = ((picture[0] > 125) != (mask == 7)).any(0).nonzero().flatten()
    assert len(differ) <= 1


@given(st.integers(0, 2**30), st.integers(3, 40), st.integers(0, 30))
def test_long_side_keeps_the_shape(seed, low, more):
    picture = run([{"resize_long_side": [low, low + more]}], seed, coordinates()[0])
    height, width = picture.shape[-2:]
    assert low <= width <= low + more
    assert height == max(1, round(HEIGHT * width / WIDTH))


def test_both_ends_of_the_long_side_are_drawn():
    widths = {run([{"resize_long_side": [20, 22]}], seed, coordinates()[0]).shape[-1] for seed in range(60)}
    assert widths == {20, 21, 22}


@given(st.integers(0, 2**30))
def test_random_scale_lies_within_its_bounds(seed):
    height, width = run([{"random_scale": [0.5, 2.0]}], seed, coordinates()[0]).shape[-2:]
    assert 6 <= height <= 24
    assert 9 <= width <= 36
    assert abs(height / HEIGHT - width / WIDTH) < 0.1


@pytest.mark.parametrize(
    "steps", [[{"color_jitter": [0.4, 0.4, 0.4, 0.1]}], [{"normalize": "half"}, {"colour_shift": [1, 1]}]]
)
def test_colours_change_and_masks_do_not(steps):
    before, labels = coordinates()
    picture, mask = run(steps, 0, before, labels)
    assert torch.equal(mask, labels)
    assert not torch.equal(picture, before)


def test_colour_shift_is_affine_per_channel():
    base = torch.linspace(-1, 1, 12).reshape(1, 3, 4).repeat(3, 1, 1)
    shifted = run([{"colour_shift": [0.3, 0.2]}], 3, tv_tensors.Image(base))
    torch.manual_seed(3)
    gain, shift = 1 + 0.3 * torch.randn(()), 0.2 * torch.randn(3, 1, 1)
    torch.testing.assert_close(shifted.as_subclass(torch.Tensor), base * gain + shift, rtol=0, atol=0)


def test_colour_shift_needs_a_normalised_picture():
    with pytest.raises(ParameterError, match="'colour_shift' must come after 'normalize'"):
        run([{"colour_shift": [0.1, 0.1]}], 0, coordinates()[0])


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=6))
def test_hsv_is_that_of_the_standard_library(colours):
    rgb = torch.tensor(colours).T.reshape(3, 1, -1).double() / 255
    expected = torch.tensor([colorsys.rgb_to_hsv(*(value / 255 for value in colour)) for colour in colours]).double()
    torch.testing.assert_close(rgb_to_hsv(rgb)[:, 0].T, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(hsv_to_rgb(rgb_to_hsv(rgb)), rgb, rtol=0, atol=1e-6)


def test_hsv_shift_by_hand():
    """A shift of the hue alone turns colours and keeps greys; all three are drawn within their bounds."""
    torch.manual_seed(0)
    drawn = (2 * torch.rand(3) - 1) * 10
    picture = tv_tensors.Image(torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1))
    hue, saturation, value = colorsys.rgb_to_hsv(200 / 255, 100 / 255, 50 / 255)
    moved = (hue + float(drawn[0]) / 180, saturation + float(drawn[1]) / 255, value + float(drawn[2]) / 255)
    expected = [round(255 * channel) for channel in colorsys.hsv_to_rgb(*moved)]
    found = run([{"hsv_shift": 10}], 0, picture)
    assert found.dtype == torch.uint8
    assert found.flatten().tolist() == expected
    assert torch.equal(run([{"hsv_shift": 0}], 0, picture), picture)


def test_hsv_shift_needs_grey_levels():
    with pytest.raises(ParameterError, match="'hsv_shift' must come before 'normalize'"):
        run([{"normalize": "half"}, {"hsv_shift": 3}], 0, coordinates()[0])


def test_normalisation_by_hand():
    picture = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1)
    half = torch.tensor([-1.0, -0.6, 1.0]).view(3, 1, 1)
    imagenet = torch.tensor([-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225]).view(3, 1, 1)
    for name, expected in {"half": half, "imagenet": imagenet}.items():
        torch.testing.assert_close(normalise(picture, name), expected)
        step = build_transform([{"normalize": name}])(tv_tensors.Image(picture))
        torch.testing.assert_close(step.as_subclass(torch.Tensor), expected)
        assert torch.equal(normalisation(name)[0].flatten(), torch.tensor(NORMALISATIONS[name][0]))
    assert normalise(torch.zeros(2, 3, 4, 5, dtype=torch.uint8), "half").shape == (2, 3, 4, 5)
    with pytest.raises(ParameterError, match=r"Unknown normalisation 'imagnet'. Did you mean 'imagenet'"):
        normalise(picture, "imagnet")


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_seed_fixes_each_step(name):
    before = [{"normalize": "half"}] if name == "colour_shift" else []
    steps = [*before, {name: EVERY_STEP[name]}]
    picture = tv_tensors.Image(torch.randint(0, 256, (3, 16, 20), generator=torch.Generator().manual_seed(0)).byte())
    first = [run(steps, seed, picture) for seed in range(8)]
    again = [run(steps, seed, picture) for seed in range(8)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    if name not in ("resize", "normalize"):
        assert len({tuple(image.flatten().tolist()) for image in first}) > 1


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"horizontal_flop": 0.5}, "Unknown augmentation step 'horizontal_flop'. Did you mean 'horizontal_flip'"),
        ({"horizontal_flip": 1.5}, "'horizontal_flip': argument 1.5 does not fit"),
        ({"horizontal_flip": "often"}, "'horizontal_flip': argument 'often' does not fit"),
        ({"resize": [1, 2, 3]}, r"'resize': argument \[1, 2, 3\] does not fit"),
        ({"resize_long_side": [40, 20]}, r"'resize_long_side': argument \[40, 20\] .*low <= high"),
        ({"resize_long_side": 40}, "'resize_long_side': argument 40 does not fit"),
        ({"random_scale": [0, 1]}, r"'random_scale': argument \[0, 1\] does not fit"),
        ({"random_scale": ["a", "b"]}, "'random_scale': argument .* does not fit"),
        ({"crop": 0}, "'crop': argument 0 does not fit"),
        ({"crop": {"mask_fill": 3}}, "'crop': argument .* does not fit .*size"),
        ({"crop": {"size": 3, "mask_fil": 0}}, "'crop': argument .* does not fit .*mask_fil"),
        ({"crop": {"size": 3, "mask_fill": 300}}, "'crop': argument .* does not fit"),
        ({"shift": "far"}, "'shift': argument 'far' does not fit"),
        ({"hsv_shift": -1}, "'hsv_shift': argument -1 does not fit"),
        ({"shift": -1}, "'shift': argument -1 does not fit"),
        ({"colour_shift": [0.1]}, r"'colour_shift': argument \[0.1\] does not fit"),
        ({"random_resized_crop": {"scale": [0.1, 1]}}, "'random_resized_crop': argument .* does not fit .*size"),
        ({"rand_augment": {"operations": 2}}, "'rand_augment': argument .* does not fit .*magnitude"),
        ({"random_erasing": 2}, "'random_erasing': argument 2 does not fit"),
        ({"normalize": "imagnet"}, "Unknown normalisation 'imagnet'. Did you mean 'imagenet'"),
        ({"shift": 1, "crop": 2}, "one name and one argument"),
        ({}, "one name and one argument"),
    ],
)
def test_steps_that_do_not_fit_are_named(step, problem):
    with pytest.raises(ParameterError, match=problem):
        build_transform([{"horizontal_flip": 0.5}, step])


def test_no_steps_change_nothing():
    picture, mask = build_transform([])(*coordinates())
    assert torch.equal(picture, coordinates()[0])
    assert torch.equal(mask, coordinates()[1])


def test_the_networks_own_normalisation():
    picture = tv_tensors.Image(torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8))
    own = build_transform([{"normalize": "input"}], "imagenet")(picture)
    assert torch.equal(own, build_transform([{"normalize": "imagenet"}])(picture))
    with pytest.raises(ParameterError, match="normalize"):
        build_transform([{"normalize": "input"}])
