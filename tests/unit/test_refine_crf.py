"""Dense CRF: against exact mean-field inference, under relabelling, with shared lattices and merged labels."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.refine import (
    CrfSettings,
    dense_crf,
    dense_crf_labels,
    dense_crf_many,
    label_crf,
    picture_for_crf,
    picture_from_normalised,
)
from seedbed.refine.crf import CRF_PRESETS


def scene(height=13, width=18, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 60, np.uint8)
    image[:, width // 2 :] = 190
    image += rng.integers(0, 12, image.shape, dtype=np.uint8)
    scores = rng.random((labels, height, width)).astype(np.float32)
    return image, scores / scores.sum(axis=0)


def exact_mean_field(image, probabilities, crf):
    """Mean-field inference with the Gaussian kernels written out between all pairs of pixels."""
    height, width = image.shape[:2]
    ys, xs = np.divmod(np.arange(height * width), width)
    place = np.stack([ys, xs], axis=1).astype(float)
    colour = image.reshape(-1, 3).astype(float)

    def kernel(*features):
        joint = np.concatenate(features, axis=1)
        weights = np.exp(-0.5 * ((joint[:, None] - joint) ** 2).sum(axis=-1))
        norm = 1 / np.sqrt(weights.sum(axis=1))
        return norm[:, None] * weights * norm

    mixed = crf.gaussian_weight * kernel(place / crf.gaussian_sxy)
    mixed += crf.bilateral_weight * kernel(place / crf.bilateral_sxy, colour / crf.bilateral_srgb)
    logits = np.log(np.clip(probabilities.reshape(len(probabilities), -1), 1e-5, 1))
    posterior = np.exp(logits) / np.exp(logits).sum(axis=0)
    for _ in range(crf.iterations):
        scores = logits + posterior @ mixed
        scores = np.exp(scores - scores.max(axis=0))
        posterior = scores / scores.sum(axis=0)
    return posterior.reshape(probabilities.shape)


def test_close_to_exact_mean_field_and_sensitive_to_every_setting():
    image = np.random.default_rng(0).integers(0, 60, (13, 18, 3), dtype=np.uint8)
    probabilities = scene()[1]
    crf = CrfSettings(1.5, 2, 6, 20, 4, iterations=3)
    exact = exact_mean_field(image, probabilities, crf)

    def error(ours):
        return np.abs(dense_crf(image, probabilities, ours) - exact).mean()

    # The lattice approximates the Gaussians.
    assert error(crf) < 0.012
    for field in fields(crf):
        if field.name == "implementation":
            continue
        assert error(replace(crf, **{field.name: 2 * getattr(crf, field.name)})) > 0.018


def test_no_iteration_normalises_the_clipped_probabilities():
    image, probabilities = scene()
    probabilities[0, 0, 0] = 0
    clipped = np.clip(probabilities, 1e-5, 1)
    np.testing.assert_allclose(dense_crf(image, probabilities, iterations=0), clipped / clipped.sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("preset", sorted(CRF_PRESETS))
def test_posteriors_sum_to_one_for_every_preset(preset):
    image, probabilities = scene(labels=4)
    posteriors = dense_crf(image, probabilities, preset)
    assert posteriors.dtype == np.float32
    assert posteriors.shape == probabilities.shape
    np.testing.assert_allclose(posteriors.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(dense_crf_labels(image, probabilities, preset), posteriors.argmax(axis=0))


def test_relabelling_relabels_the_result():
    image, probabilities = scene(labels=4)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        dense_crf(image, probabilities[order]), dense_crf(image, probabilities)[order], atol=1e-5
    )


def test_shared_lattice_changes_no_bit():
    image, three = scene()
    stacks = [three, three**2, scene(labels=2, seed=1)[1], three**4]
    together = dense_crf_many(image, stacks, "mctformer_seg")
    for ours, stack in zip(together, stacks, strict=True):
        assert np.array_equal(ours, dense_crf(image, stack, "mctformer_seg"))


def test_scale_factor_divides_the_spatial_widths():
    image, probabilities = scene()
    psa = CRF_PRESETS["psa"]
    halved = CrfSettings(
        psa.gaussian_sxy / 2, psa.gaussian_weight, psa.bilateral_sxy / 2, psa.bilateral_srgb, psa.bilateral_weight, 10
    )
    assert np.array_equal(dense_crf(image, probabilities, scale_factor=2), dense_crf(image, probabilities, halved))


@pytest.mark.parametrize("shape", [(1, 20), (20, 1), (1, 1), (2, 3)])
def test_thin_images(shape):
    image, probabilities = scene(*shape)
    np.testing.assert_allclose(dense_crf(image, probabilities).sum(axis=0), 1, atol=1e-5)
    labels = probabilities.argmax(axis=0)
    assert label_crf(image, labels, 21).shape == shape


def test_memory_layout_does_not_matter():
    image, probabilities = scene()
    expected = dense_crf(image, probabilities)
    frozen = np.asfortranarray(image)
    frozen.flags.writeable = False
    transposed = np.ascontiguousarray(probabilities.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert np.array_equal(dense_crf(frozen, transposed), expected)
    view = np.repeat(image, 2, axis=1)[:, ::2]
    assert np.array_equal(dense_crf(view, probabilities.astype(np.float64).astype(np.float32)), expected)


def test_errors_name_the_fault():
    image, probabilities = scene()
    with pytest.raises(DataError, match="float32"):
        dense_crf(image.astype(np.float32) / 255, probabilities)
    with pytest.raises(DataError, match=r"\[H, W, 3\]"):
        dense_crf(image[..., 0], probabilities)
    with pytest.raises(DataError, match="13 x 18"):
        dense_crf(image, probabilities[:, :-1])
    with pytest.raises(DataError, match="finite"):
        dense_crf(image, np.full_like(probabilities, np.nan))
    with pytest.raises(DataError, match="7"):
        dense_crf(image, probabilities * 0 + 7)
    with pytest.raises(ParameterError, match="Did you mean 'psa'"):
        dense_crf(image, probabilities, "pas")
    with pytest.raises(ParameterError, match="-1"):
        dense_crf(image, probabilities, iterations=-1)
    with pytest.raises(ParameterError, match="scale_factor"):
        dense_crf(image, probabilities, scale_factor=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True))
def test_merging_absent_labels_keeps_the_label_map(seed, present):
    image, _ = scene(seed=seed)
    labels = np.random.default_rng(seed).choice(present, image.shape[:2]).astype(np.uint8)
    merged = label_crf(image, labels, 21)
    assert merged.dtype == labels.dtype
    assert np.array_equal(merged, label_crf(image, labels, 21, merge_absent=False))


def test_label_crf_equals_the_general_one_on_its_unary():
    image, scores = scene(labels=3)
    labels = scores.argmax(axis=0)
    probabilities = np.where(np.arange(5)[:, None, None] == labels, 0.7, 0.3 / 4).astype(np.float32)
    expected = dense_crf_labels(image, probabilities, "label_crf")
    assert np.array_equal(label_crf(image, labels, 5), expected)


def test_label_crf_removes_a_speck():
    image = np.full((15, 15, 3), 100, np.uint8)
    labels = np.full((15, 15), 4, np.uint8)
    labels[7, 7] = 9
    assert (label_crf(image, labels, 21) == 4).all()


def test_label_crf_errors():
    image, scores = scene()
    labels = scores.argmax(axis=0)
    with pytest.raises(DataError, match="Label 255"):
        label_crf(image, np.where(labels == 0, 255, labels), 21)
    with pytest.raises(DataError, match="integer"):
        label_crf(image, labels.astype(float), 21)
    with pytest.raises(ParameterError, match="num_labels"):
        label_crf(image, labels * 0, 1)
    with pytest.raises(ParameterError, match="confidence"):
        label_crf(image, labels, 21, confidence=1.0)


def test_rebuilt_picture_cuts_the_fraction():
    normalised = np.zeros((3, 1, 2), np.float32)
    assert picture_from_normalised(normalised).tolist() == [[[123, 116, 103]] * 2]
    grey = picture_from_normalised(normalised + 1, (10.6, 20.9, 30), (1, 2, 3), scale=1)
    assert grey[0, 0].tolist() == [11, 22, 33]
    assert picture_from_normalised(normalised + 100).max() == 255
    with pytest.raises(DataError, match=r"\[3, H, W\]"):
        picture_from_normalised(normalised[:2])


def test_picture_for_crf_is_its_own_or_at_most_one_grey_level_darker():
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, axis=-1)
    assert picture_for_crf(picture, "own") is picture
    low = {how: picture.astype(int) - picture_for_crf(picture, how) for how in ("rebuilt", "rebuilt_float64")}
    assert all(set(np.unique(cut)) == {0, 1} for cut in low.values())
    assert low["rebuilt"].sum() < low["rebuilt_float64"].sum()
    with pytest.raises(ParameterError, match=r"'owm'.*'own'"):
        picture_for_crf(picture, "owm")


@pytest.mark.parametrize("how", ["own", "rebuilt", "rebuilt_float64"])
def test_a_padded_picture_has_the_mean_colour_below_and_right(how):
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    padded = picture_for_crf(picture, how, (8, 8))
    assert np.array_equal(padded[:5, :6], picture_for_crf(picture, how))
    assert (padded[5:] == [123, 116, 103]).all() and (padded[:, 6:] == [123, 116, 103]).all()
