"""PSA, from an image file to the posteriors that its affinity network learns from, against its published code."""

import numpy as np
import pytest
import torch
from model_recordings import assert_close, psa_classifier, recorded
from PIL import Image

from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.views import view
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.params.stages import AffinityLabels, Crf, Explainer
from seedbed.refine.mask_making import argmax_refiner, pseudo_masks
from seedbed.refine.posteriors import confident_posteriors

CPU = torch.device("cpu")
CLASSES = tuple(f"class{k:02}" for k in range(20))
CRF = Crf(gaussian_sxy=3, gaussian_weight=3, bilateral_sxy=80, bilateral_srgb=13, bilateral_weight=10)

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def z():
    return psa_classifier()[0] | recorded("models_resnet38_pipeline")


@pytest.fixture(scope="module")
def made(z, tmp_path_factory):
    """The recorded image as a data set of one, and its maps by the published recipe."""
    root = tmp_path_factory.mktemp("psa")
    Image.fromarray(z["image"]).save(root / "one.png")
    labels = tuple(CLASSES[key] for key in np.flatnonzero(z["label"]))
    index = DataIndex(root, CLASSES, (Record("one", ("train",), labels, "one.png", None, z["image"].shape[:2]),))
    explainer = Explainer.model_validate({
        "method": "cam", "input": {"interpolation": "bicubic", "normalize": "imagenet"}, "scales": z["scales"].tolist(),
        "flip": True, "fusion": "psa", "fusion_options": {"cut": True}, "background": 0.2, "sweep": False,
    })  # fmt: skip
    ((_, heat),) = picture_heatmaps(psa_classifier()[1], index, index.records, explainer, CPU)
    return index, heat


def test_views(z, made):
    index, _ = made
    picture = read_picture(index.root / "one.png")
    options = {"size": None, "interpolation": "bicubic", "normalisation": "imagenet"}
    np.testing.assert_allclose(view(picture, **options).numpy(), z["input_normalised"], atol=1e-6)
    for key, flip in (("msf_2", False), ("msf_3", True)):
        ours = view(picture, scale=float(z["scales"][1]), flip=flip, **options)
        np.testing.assert_allclose(ours.numpy(), z[key], atol=1e-6)


def test_maps(z, made):
    _, heat = made
    assert heat.classes.tolist() == z["cam_keys"].tolist()
    assert_close(torch.from_numpy(heat.maps), z["norm_cam"])


def test_masks(z, made):
    index, heat = made
    ((_, mask),) = pseudo_masks(index, index.records, {"one": heat}, argmax_refiner(0.2))
    assert np.array_equal(mask, z["cam_pred"])


def test_posteriors(z, made):
    index, heat = made
    alphas = {"alpha_low": float(z["alpha_la"]), "alpha_high": float(z["alpha_ha"])}
    labels = AffinityLabels(crf="psa", rule="psa", **alphas)
    ((_, low, high),) = confident_posteriors(index, index.records, {"one": heat}, labels, CRF)
    for posteriors, key in ((low, "crf_la"), (high, "crf_ha")):
        assert (posteriors.classes + 1).tolist() == z["crf_keys"].tolist()
        assert np.abs(posteriors.maps - z[key]).max() < 2e-5
