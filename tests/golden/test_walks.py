"""Random walks over predicted affinities, from recorded affinities and from an image, against the published code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_recordings import assert_close, recorded, weights

from seedbed.data.views import view
from seedbed.io.heatmaps import HeatMaps
from seedbed.models import create_model, load_weights
from seedbed.models.pair_affinity import pair_affinities
from seedbed.params.stages import AffinityNetwork, Crf
from seedbed.refine import (
    affinity_matrix,
    label_crf,
    mean_pool,
    picture_from_normalised,
    random_walk,
    shrink_radius,
    with_background,
    with_constant_background,
)
from seedbed.refine.affinity_walk import random_walk_refiner
from seedbed.refine.random_walk_masks import RandomWalk

WALK = 1e-4  # largest absolute difference; all recorded values lie in 0..1
CPU = torch.device("cpu")
NETWORK = AffinityNetwork.model_validate({
    "architecture": "affinitynet_resnet38",
    "labels": {"crf": "any", "alpha_low": 4, "alpha_high": 32, "rule": "psa"},
    "input": {"normalize": "imagenet"},
    "train": {"augment": [], "loss": "affinity", "lr": 1, "batch_size": 1, "epochs": 1},
})  # fmt: skip
CASES = {"rw0": (104, 120), "rw1": (80, 136)}  # sides padded to whole cells

torch.set_num_threads(1)


def psa():
    return {k.removeprefix("psa/"): v for k, v in recorded("refine_walk").items()}


def transcam(case):
    z = recorded("refine_walk_transcam")
    settings = {key: z[key] for key in ("bkg", "beta", "logt")}
    return settings | {k.removeprefix(f"{case}/"): v for k, v in z.items() if k.startswith(case)}


def spread(scores, keys, channels, size):
    """Put [background, classes] at their channels of a zero stack, padded right and below with zeros."""
    stack = np.zeros((channels, *size), scores.dtype)
    h, w = scores.shape[-2:]
    stack[[0, *(keys + 1)], :h, :w] = scores
    return stack


def upsampled(maps, size):
    return F.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize("kind", ["pairs", "dense", "sparse", "torch"])
def test_psa_from_affinities(kind):
    z = psa()
    matrix = affinity_matrix(z["aff"], 10, 14)
    assert np.array_equal(matrix.toarray(), z["dense"])
    cells = mean_pool(spread(with_background(z["cams"], int(z["alpha"])), z["cam_keys"], 21, (80, 112)))
    assert np.abs(cells.reshape(21, -1) - z["cam_vec"]).max() < 1e-6
    affinity = {"pairs": z["aff"], "dense": z["dense"], "sparse": matrix, "torch": torch.from_numpy(z["aff"])}[kind]
    walked = random_walk(cells, affinity, int(z["beta"]), 2 ** int(z["logt"]))
    assert np.abs(walked.reshape(21, -1) - z["cam_rw_small"]).max() < WALK
    up = upsampled(walked, (80, 112))
    assert np.abs(up[[0, *(z["cam_keys"] + 1)]] - z["cam_rw_up"]).max() < WALK
    assert np.array_equal(up.argmax(axis=0)[:75, :109], z["pred"])


def test_psa_transition():
    """A map that lights one cell walks to that cell's row of the transition matrix, 256 steps on."""
    z = psa()
    single = np.eye(140).reshape(140, 10, 14)
    ours = random_walk(single, z["aff"], int(z["beta"]), 2 ** int(z["logt"])).reshape(140, 140)
    assert np.abs(ours - z["trans_final"]).max() < WALK


def test_psa_from_the_image():
    """What the pipeline calls, with the recorded network and no CRF."""
    z, network = psa(), recorded("models_affinitynet")
    model = create_model("affinitynet_resnet38", width_divisor=int(network["divisor"]))
    load_weights(model, weights(network))
    walk = {"alpha": int(z["alpha"]), "beta": int(z["beta"]), "log2_steps": int(z["logt"])}
    settings = RandomWalk(network="any", **walk)
    refine = random_walk_refiner(settings, NETWORK, model, None, CPU, 21)
    found = refine(z["image"], HeatMaps(z["cam_keys"], z["cams"], (75, 109)))
    assert np.array_equal(np.array([0, *(z["cam_keys"] + 1)])[found], z["pred"])


@pytest.mark.parametrize("case", CASES)
def test_transcam_from_affinities(case):
    z, size = transcam(case), CASES[case]
    h, w = z["image"].shape[:2]
    assert shrink_radius(size[0] // 8, size[1] // 8) == z["radius_used"]
    scores = with_constant_background(z["cams"], float(z["bkg"]))
    cells = mean_pool(spread(scores, z["cam_keys"], 21, size))
    assert np.abs(cells.reshape(21, -1) - z["cam_vec"]).max() < 1e-6
    # The recorded matrix is already raised to beta.
    up = upsampled(random_walk(cells, z["aff_beta"], 1, 2 ** int(z["logt"])), size)
    assert np.abs(up[[0, *(z["cam_keys"] + 1)]] - z["cam_rw_up"]).max() < WALK
    labels = up.argmax(axis=0)
    assert np.array_equal(labels[:h, :w], z["pred_nocrf"])
    # The CRF saw the padded image, rebuilt from the network's input, whose padding is zero after normalisation.
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    padded = np.zeros((3, *size), np.float32)
    padded[:, :h, :w] = ((z["image"] / 255 - mean) / std).transpose(2, 0, 1)
    assert np.array_equal(label_crf(picture_from_normalised(padded), labels, 21)[:h, :w], z["pred_crf"])


@pytest.fixture(scope="module")
def transcam_network():
    model = create_model("affinitynet_resnet38", width_divisor=32)
    load_weights(model, weights(recorded("refine_walk_transcam_weights")))
    return model


LABEL_CRF = Crf(gaussian_sxy=3, gaussian_weight=3, bilateral_sxy=50, bilateral_srgb=5, bilateral_weight=10)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("crf", "key"), [(None, "pred_nocrf"), (LABEL_CRF, "pred_crf")])
def test_transcam_from_the_image(transcam_network, case, crf, key):
    """What the pipeline calls, with the recorded network: its radius, and its CRF on the padded image."""
    z = transcam(case)
    settings = RandomWalk(
        network="any", background=float(z["bkg"]), beta=int(z["beta"]), log2_steps=int(z["logt"]),
        crf_on="labels", crf_image="rebuilt_float64", crf_extent="padded", shrink_radius=True,
    )  # fmt: skip
    refine = random_walk_refiner(settings, NETWORK, transcam_network, crf, CPU, 21)
    found = refine(z["image"], HeatMaps(z["cam_keys"], z["cams"], z["image"].shape[:2]))
    assert np.array_equal(np.array([0, *(z["cam_keys"] + 1)])[found], z[key])


def test_transcam_without_its_two_steps(transcam_network):
    """The radius of 5 and the cropped image give other maps, so that the recordings tell them apart."""
    z = transcam("rw1")
    common = {"background": float(z["bkg"]), "beta": int(z["beta"]), "log2_steps": int(z["logt"]), "crf_on": "labels"}
    labels, heat = np.array([0, *(z["cam_keys"] + 1)]), HeatMaps(z["cam_keys"], z["cams"], (75, 130))
    for options, crf, key in (
        ({"shrink_radius": False}, None, "pred_nocrf"),
        ({"shrink_radius": True, "crf_image": "rebuilt_float64", "crf_extent": "image"}, LABEL_CRF, "pred_crf"),
    ):
        settings = RandomWalk(network="any", **common, **options)
        found = random_walk_refiner(settings, NETWORK, transcam_network, crf, CPU, 21)(z["image"], heat)
        assert not np.array_equal(labels[found], z[key])


@pytest.mark.parametrize("case", CASES)
def test_transcam_affinities_of_the_image(transcam_network, case):
    """The network's pairs of the radius it shrinks to, as the matrix raised to beta."""
    z, (h, w) = transcam(case), CASES[case]
    pixels = view(z["image"], size=None, normalisation="imagenet")
    padded = F.pad(pixels, (0, w - pixels.shape[-1], 0, h - pixels.shape[-2]))
    with torch.no_grad():
        pairs = pair_affinities(transcam_network.eval().features(padded[None]), int(z["radius_used"]))[0]
    matrix = affinity_matrix(pairs.numpy(), h // 8, w // 8).toarray() ** int(z["beta"])
    assert_close(torch.from_numpy(matrix), z["aff_beta"], 1e-4)
