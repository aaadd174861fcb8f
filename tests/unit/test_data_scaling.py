"""Scales as published: filters, rounding, one scale a batch, and where padding lies."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision import tv_tensors

from seedbed.data.datasets import LabelledPictures, MaskedPictures
from seedbed.data.images import read_picture
from seedbed.data.normalise import normalise
from seedbed.data.scaling import cv2_cubic, cv2_nearest
from seedbed.data.transforms import build_transform
from seedbed.data.views import view
from seedbed.errors import ParameterError
from seedbed.params.stages import AffinityLabels, Segmenter
from seedbed.refine.fusion import fuse_scales
from seedbed.train.segmentation import predict_masks

CPU = torch.device("cpu")

torch.set_num_threads(1)


def scaled(options, *inputs, seed=0):
    torch.manual_seed(seed)
    return build_transform([{"random_scale": options}])(*inputs)


def test_nearest_neighbour_by_hand():
    labels = torch.arange(5)[None]
    assert cv2_nearest(labels, (1, 8)).tolist() == [[0, 0, 1, 1, 2, 3, 3, 4]]
    assert cv2_nearest(labels, (1, 2)).tolist() == [[0, 2]]
    assert cv2_nearest(labels, (2, 5)).tolist() == [list(range(5))] * 2


@given(st.integers(1, 40), st.integers(1, 40))
def test_nearest_neighbour_covers_the_picture(old, new):
    rows = cv2_nearest(torch.arange(old)[:, None], (new, 1))[:, 0].tolist()
    assert rows == sorted(rows)
    assert rows[0] == 0
    assert all(abs(row - k * old / new) <= 1 for k, row in enumerate(rows))


def test_mctformers_filter_goes_by_the_sides():
    picture = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(108).reshape(9, 12).to(torch.uint8)
    options = {"bounds": [0.4, 0.4], "filter": "cv2_linear"}
    pixels, labels = scaled(options, tv_tensors.Image(picture), tv_tensors.Mask(mask))
    expected = F.interpolate(picture[None], (4, 5), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(pixels.as_subclass(torch.Tensor), expected)
    assert torch.equal(labels.as_subclass(torch.Tensor), cv2_nearest(mask, (4, 5)))
    with pytest.raises(ParameterError, match="'random_scale' with cv2_linear must come after 'normalize'"):
        scaled(options, tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)))


def cubic_by_hand(line, new, factor):
    """Four taps of the cubic kernel with a = -0.75 around (i + 0.5) / factor - 0.5, the border repeated."""
    out = []
    for i in range(new):
        place = (i + 0.5) / factor - 0.5
        first = int(np.floor(place)) - 1
        taps = [(k, abs(place - k)) for k in range(first, first + 4)]
        weights = [1.25 * d**3 - 2.25 * d**2 + 1 if d <= 1 else -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) for _, d in taps]
        out.append(sum(w * line[min(max(k, 0), len(line) - 1)] for (k, _), w in zip(taps, weights, strict=True)))
    return np.array(out)


@pytest.mark.parametrize(("factor", "size"), [(0.4, (4, 5)), (1.37, (12, 16)), (1.21, (11, 15))])
def test_transcams_filter_goes_by_the_factor(factor, size):
    picture = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(108).reshape(9, 12).to(torch.uint8)
    options = {"bounds": [factor, factor], "filter": "cv2_cubic"}
    pixels, labels = scaled(options, tv_tensors.Image(picture), tv_tensors.Mask(mask))
    rows = np.apply_along_axis(cubic_by_hand, 1, picture.numpy().astype(np.float64), size[0], factor)
    expected = np.apply_along_axis(cubic_by_hand, 2, rows, size[1], factor)
    assert pixels.dtype == torch.float32
    np.testing.assert_allclose(pixels.numpy(), expected, rtol=0, atol=1e-6)
    places = [[min(int(i * (1 / factor)), old - 1) for i in range(new)] for new, old in zip(size, (9, 12), strict=True)]
    assert torch.equal(labels.as_subclass(torch.Tensor), mask[places[0]][:, places[1]])
    assert not torch.equal(labels.as_subclass(torch.Tensor), cv2_nearest(mask, size))


def test_8_bit_overshoot_is_clipped_and_rounded():
    edge = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).expand(3, 4, 4)
    line = cubic_by_hand([0, 0, 255, 255], 6, 1.5)
    assert line.min() < 0 and line.max() > 255
    found = cv2_cubic(edge, (6, 6), 1.5)
    assert found.dtype == torch.uint8
    assert (found == torch.from_numpy(line.clip(0, 255).round()).to(torch.uint8)).all()


def test_what_has_its_size_stays_as_it_is():
    """As in OpenCV, where a factor near 1 rounds to the old sides."""
    picture = torch.randint(0, 256, (3, 30, 41), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    options = {"bounds": [1.01, 1.01], "filter": "cv2_cubic"}
    pixels, labels = scaled(options, tv_tensors.Image(picture), tv_tensors.Mask(picture[0]))
    assert torch.equal(pixels.as_subclass(torch.Tensor), picture)
    assert torch.equal(labels.as_subclass(torch.Tensor), picture[0])


@pytest.mark.parametrize(("size", "target", "expected"), [((375, 500), 278, (208, 278)), ((500, 375), 278, (278, 208))])
def test_the_short_side_is_multiplied_before_it_is_divided(size, target, expected):
    """208.5 exactly, half to even; the ratio first gives 208.50000000000003 and one pixel more."""
    picture = tv_tensors.Image(torch.zeros(3, *size, dtype=torch.uint8))
    assert build_transform([{"resize_long_side": [target, target]}])(picture).shape[-2:] == expected


def test_rounding_of_the_sides():
    picture = torch.zeros(3, 10, 15)
    shapes = {rounding: scaled({"bounds": [0.77, 0.77], "rounding": rounding}, picture).shape for rounding in ROUNDED}
    assert {rounding: tuple(shape[-2:]) for rounding, shape in shapes.items()} == ROUNDED


ROUNDED = {"nearest": (8, 12), "down": (7, 11)}


def test_pictures_are_resized_by_pil():
    picture = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((45, 30), Image.Resampling.BICUBIC)
    for step in ({"random_scale": [1.5, 1.5]}, {"resize_long_side": [45, 45]}):
        found = build_transform([step])(tv_tensors.Image(picture))
        assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"bounds": [0.5, 2], "filter": "cv2"}, "filter must be one of pil, cv2_linear, cv2_cubic"),
        ({"bounds": [0.5, 2], "rounding": "up"}, "rounding must be one of nearest, down"),
        ({"bounds": [2, 0.5]}, "need 0 < low <= high"),
        ({"filter": "pil"}, "'bounds'"),
        ({"bounds": [0.5, 2], "per_image": True}, "'per_image'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(options, problem):
    with pytest.raises(ParameterError, match=f"'random_scale': argument .*{problem}"):
        scaled(options, torch.zeros(3, 8, 8))


def test_a_corner_keeps_the_place():
    picture, mask = torch.ones(3, 4, 6), tv_tensors.Mask(torch.ones(4, 6, dtype=torch.uint8))
    for seed in range(8):
        torch.manual_seed(seed)
        crop = build_transform([{"crop": {"size": 9, "mask_fill": 0, "place": "corner"}}])
        pixels, labels = crop(tv_tensors.Image(picture), mask)
        expected = torch.zeros(9, 9)
        expected[:4, :6] = 1
        assert torch.equal(pixels[0].as_subclass(torch.Tensor), expected)
        assert torch.equal(labels.float().as_subclass(torch.Tensor), expected)
    with pytest.raises(ParameterError, match="place must be random or corner"):
        build_transform([{"crop": {"size": 9, "mask_fill": 0, "place": "middle"}}])


PER_BATCH = [{"normalize": "half"}, {"random_scale": {"bounds": [0.5, 1.5], "per_batch": True, "filter": "cv2_linear"}}]


def test_one_scale_a_batch(shapes):
    """All samples of a batch have one size, another batch another; the samples' own seeds do not matter."""
    masks = {record.image: np.zeros(record.size, np.uint8) for record in shapes.records}
    data = MaskedPictures(shapes, shapes.records, masks, build_transform(PER_BATCH))
    sizes = []
    for first in range(6):
        batch = data.__getitems__([(0, first), (1, 70 + first), (2, 90 - first)])
        assert len({tuple(pixels.shape) for pixels, _ in batch}) == 1
        assert all(pixels.shape[-2:] == labels.shape for pixels, labels in batch)
        again = data.__getitems__([(0, first), (1, 5)])
        assert again[0][0].shape == batch[0][0].shape
        assert torch.equal(again[0][0], data[0, first][0])
        sizes.append(batch[0][0].shape[-1])
    assert len(set(sizes)) > 3
    assert all(24 <= size <= 72 for size in sizes)


def test_labelled_pictures_have_no_common_scale(shapes):
    data = LabelledPictures(shapes, shapes.records, build_transform(PER_BATCH))
    with pytest.raises(ParameterError, match="per_batch is for segmentation"):
        data[0, 0]


def test_views_round_as_told():
    picture = np.zeros((10, 15, 3), np.uint8)
    found = {how: view(picture, size=None, scale=0.77, rounding=how, normalisation="half").shape for how in ROUNDED}
    assert {how: tuple(shape[-2:]) for how, shape in found.items()} == ROUNDED


def test_segmentation_of_scaled_tensors(shapes):
    """The normalised image is scaled with aligned corners, its sides rounded down, then mirrored or not."""
    values = {
        "architecture": "any", "input": {"normalize": "imagenet"}, "scales": [0.7, 1.0], "flip": True,
        "scaling": "tensor", "rounding": "down",
        "train": {"augment": [], "loss": "any", "lr": 1, "batch_size": 1, "epochs": 1},
    }  # fmt: skip
    settings, record = Segmenter.model_validate(values), shapes.records[0]
    torch.manual_seed(0)
    model = torch.nn.Conv2d(3, len(shapes.classes) + 1, 3, padding=1)
    picture = torch.from_numpy(read_picture(shapes.root / record.path).copy()).permute(2, 0, 1)
    pixels = normalise(picture, "imagenet")[None]
    small = F.interpolate(pixels, (33, 33), mode="bilinear", align_corners=True)
    with torch.no_grad():
        logits = [model(x)[0] for x in (small, small.flip(-1), pixels, pixels.flip(-1))]
    expected = fuse_scales(logits, (48, 48), "mean_logits", mirrored=[False, True, False, True]).argmax(0)
    ((image, mask),) = predict_masks(model, shapes, [record], settings, None, CPU)
    assert image == record.image
    assert np.array_equal(mask, expected.numpy())
    for change in ({"scaling": "image"}, {"scaling": "cv2_cubic"}, {"rounding": "nearest"}):
        changed = Segmenter.model_validate({**values, **change})
        ((_, other),) = predict_masks(model, shapes, [record], changed, None, CPU)
        assert not np.array_equal(mask, other)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"alpha_low": 4},
        {"alpha_high": 4},
        {"alpha_low": 4, "constants": (0.6, 0.2)},
        {"alpha_low": 4, "alpha_high": 8, "constants": (0.6, 0.2)},
    ],
)
def test_confident_labels_have_one_kind_of_background(given):
    with pytest.raises(ValidationError, match="set either alpha_low and alpha_high, or constants"):
        AffinityLabels(crf="any", rule="psa", **given)
