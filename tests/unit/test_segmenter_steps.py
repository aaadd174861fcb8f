"""Augmentation of WeakTr's segmentation network."""

import pytest
import torch
from torchvision import tv_tensors

from seedbed.data.transforms import build_transform
from seedbed.errors import ParameterError


def picture(height=60, width=80):
    noise = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return tv_tensors.Image(noise)


def halves(height=60, width=80):
    """Label 1 on the left, 2 on the right quarter."""
    mask = torch.ones(height, width, dtype=torch.uint8)
    mask[:, width * 3 // 4 :] = 2
    return tv_tensors.Mask(mask)


@pytest.mark.parametrize(("factor", "size"), [(0.5, (26, 35)), (1.0, (52, 69)), (2.0, (104, 139))])
def test_the_shorter_side_and_the_shape(factor, size):
    step = build_transform([{"resize_short_side": {"side": 52, "bounds": [factor, factor]}}])
    image, mask = step(picture(), halves())
    assert image.shape == (3, *size) and mask.shape == size and image.dtype == torch.uint8
    assert set(mask.unique().tolist()) == {1, 2}


def test_no_label_covers_too_much_where_a_try_finds_a_place():
    step, shares = build_transform([{"balanced_crop": {"size": 24, "most": 0.75, "tries": 200}}]), []
    for seed in range(20):
        torch.manual_seed(seed)
        image, mask = step(picture(), halves())
        assert image.shape == (3, 24, 24) and mask.shape == (24, 24)
        shares.append(float((mask == 1).float().mean()))
    assert max(shares) < 0.75 and min(shares) > 0


def test_a_picture_of_one_label_is_cropped_all_the_same():
    mask = tv_tensors.Mask(torch.zeros(60, 80, dtype=torch.uint8))
    assert build_transform([{"balanced_crop": 24}])(picture(), mask)[1].shape == (24, 24)


def test_a_small_picture_lies_in_the_corner_on_void():
    image, mask = build_transform([{"balanced_crop": 100}])(picture(), halves())
    assert torch.equal(image[:, :60, :80], picture()) and not image[:, 60:].any() and not image[:, :, 80:].any()
    assert (mask[60:] == 255).all() and (mask[:, 80:] == 255).all() and (mask[:60, :80] != 255).all()


def test_distortion_changes_the_picture_alone():
    step, seen = build_transform([{"photometric_distortion": {}}]), set()
    for seed in range(10):
        torch.manual_seed(seed)
        image, mask = step(picture(), halves())
        assert image.dtype == torch.uint8 and torch.equal(mask, halves())
        seen.add(float(image.float().mean()))
    assert len(seen) > 5


def test_no_distortion_of_strength_nothing():
    nothing = {"brightness": 0, "contrast": [1, 1], "saturation": [1, 1], "hue": 0}
    changed = build_transform([{"photometric_distortion": nothing}])(picture())
    assert (changed.int() - picture().int()).abs().max() <= 1


def test_distortion_comes_before_normalising():
    with pytest.raises(ParameterError, match="before 'normalize'"):
        build_transform([{"normalize": "imagenet"}, {"photometric_distortion": {}}])(picture())
