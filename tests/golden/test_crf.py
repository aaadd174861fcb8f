"""Dense CRFs on scores and on labels, against arrays recorded from pydensecrf and the papers' published code."""

from pathlib import Path

import numpy as np
import pytest

from seedbed.refine import (
    dense_crf,
    dense_crf_many,
    label_crf,
    picture_from_normalised,
    with_background,
    with_constant_background,
)

DATA = Path(__file__).parent / "data"
CRF = 1e-5  # largest absolute difference of posteriors


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def z():
    return recorded("refine_crf") | recorded("refine_crf_more")


@pytest.mark.parametrize(("scene", "alphas"), [("s0", (1, 4, 12, 32)), ("s1", (4, 24)), ("two", (4,))])
def test_backgrounds_share_a_lattice(z, scene, alphas):
    stacks = [with_background(z[f"{scene}/cams"], alpha) for alpha in alphas]
    for alpha, posteriors in zip(alphas, dense_crf_many(z[f"{scene}/image"], stacks), strict=True):
        assert np.abs(posteriors - z[f"{scene}/crf_alpha{alpha}"]).max() < CRF


@pytest.mark.parametrize(
    ("key", "preset", "options"),
    [
        ("psa_t0", "psa", {"iterations": 0}),
        ("psa_t1", "psa", {"iterations": 1}),
        ("psa_t5", "psa", {"iterations": 5}),
        ("psa_t10", "psa", {}),
        ("psa_scale2_t10", "psa", {"scale_factor": 2}),
        ("seg_t10", "mctformer_seg", {}),
        ("deeplab_t1", "deeplab_transcam", {}),
    ],
)
@pytest.mark.parametrize("scene", ["s0", "s1"])
def test_settings(z, scene, key, preset, options):
    ours = dense_crf(z[f"{scene}/image"], z[f"{scene}/probs"], preset, **options)
    assert np.abs(ours - z[f"{scene}/{key}"]).max() < CRF


def test_flat_image(z):
    assert np.abs(dense_crf(z["flat/image"], z["flat/probs"]) - z["flat/psa_t10"]).max() < CRF


@pytest.mark.parametrize("scene", ["s0", "s1"])
def test_energies_of_scores(z, scene):
    """Without an iteration, the posteriors are the energies' own distribution."""
    image = z[f"{scene}/image"]
    boltzmann = np.exp(-z[f"{scene}/unary_softmax"].astype(np.float64)).reshape(z[f"{scene}/probs"].shape)
    ours = dense_crf(image, z[f"{scene}/probs"], iterations=0)
    assert np.abs(ours - boltzmann / boltzmann.sum(axis=0)).max() < CRF


@pytest.mark.parametrize("scene", ["s0", "s1"])
def test_energies_of_labels(z, scene):
    """The recorded energies, as scores, make the CRF on scores what the CRF on labels is."""
    image, given = z[f"{scene}/image"], z[f"{scene}/labels"]
    energies = z[f"{scene}/unary_labels"].reshape(-1, *given.shape)
    scores = np.exp(-energies)
    assert np.array_equal(scores.argmax(axis=0), given)
    assert np.allclose(scores.max(axis=0), 0.7) and np.allclose(scores.sum(axis=0), 1)
    winners = dense_crf(image, scores, "label_crf").argmax(axis=0)
    assert np.array_equal(winners, label_crf(image, given, len(energies)))


@pytest.mark.parametrize(
    ("scene", "labels", "count"),
    [("s0", "labels", 3), ("s0", "labels21", 21), ("s1", "labels", 4), ("s1", "labels21", 21)],
)
@pytest.mark.parametrize("merge_absent", [True, False])
def test_labels(z, scene, labels, count, merge_absent):
    ours = label_crf(z[f"{scene}/image"], z[f"{scene}/{labels}"], count, merge_absent=merge_absent)
    assert np.array_equal(ours, z[f"{scene}/label_crf_n{count}"])


def test_stage_of_the_pipelines():
    z = recorded("refine_pipelines")
    ids = np.concatenate([[0], z["transcam/cam_keys"] + 1])
    for score, key in ((0.60, "crf_060"), (0.25, "crf_025")):
        labels = ids[with_constant_background(z["transcam/norm_cam"], score).argmax(axis=0)]
        assert np.array_equal(label_crf(z["transcam/image"], labels, 21), z[f"transcam/{key}"])
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    normalised = ((z["mctformer/image"].astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)
    picture = picture_from_normalised(normalised)
    assert np.array_equal(picture, z["mctformer/image_used_by_crf"])
    for alpha in (1, 12):
        ours = dense_crf(picture, with_background(z["mctformer/cams"], alpha))
        assert np.abs(ours - z[f"mctformer/crf_alpha{alpha}"]).max() < CRF
