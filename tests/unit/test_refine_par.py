"""Pixel-adaptive refinement against the stacked textbook form, and its invariants."""

import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import DataError, ParameterError
from seedbed.refine import par, pixel_adaptive_refinement

torch.set_num_threads(1)


def stacked_refinement(image, maps, dilations, iterations, weight=0.01, sigma=0.3):
    """All neighbours side by side, straight from the formulas; image [3, H, W], maps [C, H, W]."""
    offsets = [(dy * d, dx * d) for d in dilations for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    h, w = image.shape[1:]
    rows, columns = torch.arange(h), torch.arange(w)

    def neighbours(x):
        shifted = [x[:, (rows + dy).clamp(0, h - 1)][:, :, (columns + dx).clamp(0, w - 1)] for dy, dx in offsets]
        return torch.stack(shifted, dim=1)

    around = neighbours(image)
    colour = (((around - image[:, None]).abs() / (around.std(dim=1, keepdim=True) + 1e-8) / sigma) ** 2).mean(dim=0)
    distance = torch.tensor([(dy**2 + dx**2) ** 0.5 for dy, dx in offsets], dtype=image.dtype)
    position = (distance / (distance.std() + 1e-8) / sigma) ** 2
    kernel = (-colour).softmax(dim=0) + weight * (-position).softmax(dim=0)[:, None, None]
    for _ in range(iterations):
        maps = (neighbours(maps) * kernel).sum(dim=1)
    return maps


def scene(seed=0, height=21, width=17, classes=3):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator, dtype=torch.float64)
    return image, torch.rand(classes, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("dilations", "iterations", "options"),
    [
        ((1, 2, 4, 8, 12, 24), 3, {}),
        ((1,), 5, {}),
        ((2, 3), 2, {"position_weight": 0.5, "sigma": 1.0}),
    ],
)
def test_equals_the_stacked_form(dilations, iterations, options):
    image, maps = scene()
    ours = pixel_adaptive_refinement(image, maps, dilations=dilations, iterations=iterations, **options)
    weight, sigma = options.get("position_weight", 0.01), options.get("sigma", 0.3)
    expected = stacked_refinement(image, maps, dilations, iterations, weight, sigma)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_float32_stays_close_to_float64():
    image, maps = scene(1)
    exact = pixel_adaptive_refinement(image, maps)
    ours = pixel_adaptive_refinement(image.float(), maps.float())
    assert ours.dtype == torch.float32
    assert (ours - exact).abs().max() < 5e-6


def test_a_constant_map_grows_by_the_gain_unless_removed():
    image, _ = scene()
    ones = torch.ones(1, *image.shape[1:], dtype=torch.float64)
    torch.testing.assert_close(pixel_adaptive_refinement(image, ones), ones * 1.01**10)
    torch.testing.assert_close(pixel_adaptive_refinement(image, ones, remove_gain=True), ones)


@pytest.mark.parametrize("at_once", [1, 800, 1 << 22])
def test_batch_equals_one_by_one_and_leaves_its_input_alone(at_once, monkeypatch):
    monkeypatch.setitem(par.PIXELS_AT_ONCE, "cpu", at_once)
    scenes = [scene(seed, classes=4) for seed in range(5)]
    images, maps = (torch.stack(parts) for parts in zip(*scenes, strict=True))
    maps[0, 1:3] = maps[2] = maps[4, 0] = 0  # each image has channels of its own, one has none
    before = maps.clone()
    together = pixel_adaptive_refinement(images, maps, iterations=2)
    assert torch.equal(maps, before)
    for result, image, stack in zip(together, images, maps, strict=True):
        torch.testing.assert_close(result, stacked_refinement(image, stack, par.DILATIONS, 2), rtol=0, atol=1e-12)
        alone = pixel_adaptive_refinement(image, stack, iterations=2)
        torch.testing.assert_close(result, alone, rtol=0, atol=1e-14)
        assert torch.equal(result.any((1, 2)), stack.any((1, 2)))
    single = pixel_adaptive_refinement(images.float(), maps.float())
    for result, image, stack in zip(single, images.float(), maps.float(), strict=True):
        torch.testing.assert_close(result, pixel_adaptive_refinement(image, stack), rtol=0, atol=1e-6)


def test_the_batch_takes_one_pass(monkeypatch):
    passes, kernel = [], par._kernel
    monkeypatch.setattr(par, "_kernel", lambda images, *rest: passes.append(len(images)) or kernel(images, *rest))
    pixel_adaptive_refinement(torch.rand(16, 3, 12, 12), torch.rand(16, 2, 12, 12))
    assert passes == [16]


def test_no_image_and_no_channel():
    assert pixel_adaptive_refinement(torch.rand(0, 3, 6, 5), torch.rand(0, 2, 6, 5)).shape == (0, 2, 6, 5)
    assert not pixel_adaptive_refinement(torch.rand(2, 3, 6, 5), torch.zeros(2, 2, 3, 3)).any()


def test_empty_channels_stay_empty_and_do_not_change_the_others():
    image, maps = scene(classes=4)
    maps[[0, 2]] = 0
    full = pixel_adaptive_refinement(image, maps, iterations=2)
    assert not full[[0, 2]].any()
    assert torch.equal(full[[1, 3]], pixel_adaptive_refinement(image, maps[[1, 3]], iterations=2))


def test_no_iteration_is_a_resize_with_aligned_corners():
    image, maps = scene()
    small = maps[:, :5, :6]
    expected = F.interpolate(small[None], size=image.shape[1:], mode="bilinear", align_corners=True)[0]
    assert torch.equal(pixel_adaptive_refinement(image, small, iterations=0), expected)


def test_colour_edges_hold_the_maps_back():
    image = torch.zeros(3, 16, 16)
    image[:, :, 8:] = 1
    maps = torch.zeros(1, 16, 16)
    maps[0, 4:12, 2:6] = 1
    refined = pixel_adaptive_refinement(image, maps, dilations=(1, 2), position_weight=0)
    assert refined[0, :, :8].sum() > 0.9 * maps.sum()
    assert refined[0, :, 8:].max() < 0.05


def test_one_pixel_image():
    refined = pixel_adaptive_refinement(torch.rand(3, 1, 1), torch.full((2, 1, 1), 0.5), remove_gain=True)
    torch.testing.assert_close(refined, torch.full((2, 1, 1), 0.5))


def test_errors_name_the_fault():
    image, maps = scene()
    with pytest.raises(DataError, match=r"\[B, 3, H, W\]"):
        pixel_adaptive_refinement(image[:1], maps)
    with pytest.raises(DataError, match="2 images and maps for 1"):
        pixel_adaptive_refinement(torch.stack([image, image]), maps[None])
    with pytest.raises(ParameterError, match="dilations"):
        pixel_adaptive_refinement(image, maps, dilations=())
    with pytest.raises(ParameterError, match="iterations"):
        pixel_adaptive_refinement(image, maps, iterations=-1)


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    image, maps = (x.float() for x in scene())
    ours = pixel_adaptive_refinement(image.cuda(), maps.cuda()).cpu()
    torch.testing.assert_close(ours, pixel_adaptive_refinement(image, maps), rtol=0, atol=1e-5)
