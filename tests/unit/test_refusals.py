"""Public functions refuse what they cannot take, with an error of ours: no traceback, no NaN, no end of the process."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from explain_models import build, images_for
from torch import nn

from seedbed.errors import DataError, ParameterError, UserError
from seedbed.evaluate.attention import hellinger_distances
from seedbed.evaluate.instance_regions import map_instances, mask_instances
from seedbed.evaluate.localization import BoxLocalization, scale_boxes
from seedbed.evaluate.noise import NoiseRobustness, similarities
from seedbed.evaluate.perturbation import AreaBetweenCurves, PerturbationTest
from seedbed.explain import explain, methods, supports
from seedbed.refine import (
    CRF_PRESETS,
    Energies,
    build_lattice,
    dense_crf,
    fuse_scales,
    image_kernels,
    label_crf,
    picture_for_crf,
    pixel_adaptive_refinement,
    propagate,
    random_walk,
    reference_posteriors,
    with_background,
)

NAN, INF = float("nan"), float("inf")
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
SCORES = np.random.default_rng(1).random((2, 6, 5), np.float32)
LABELS = (SCORES[0] > 0.5).astype(np.int64)
CPU = torch.device("cpu")


@pytest.mark.parametrize("implementation", ["lattice", "pydensecrf"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (field, value)
            for field in ("gaussian_sxy", "bilateral_sxy", "bilateral_srgb")
            for value in (0, -1, NAN, INF, 1e-8, 1e-30, "3", None, [1])
        ),
        *((field, value) for field in ("gaussian_weight", "bilateral_weight") for value in (-1, NAN, INF, "3", None)),
        *(("iterations", value) for value in (-1, 2.5, NAN, "3", None)),
    ],
)
def test_crf_settings(implementation, field, value):
    settings = replace(CRF_PRESETS["psa"], implementation=implementation, **{field: value})
    with pytest.raises(ParameterError, match=field if value not in (1e-8, 1e-30) else "narrow"):
        dense_crf(IMAGE, SCORES, settings)
    with pytest.raises(ParameterError):
        label_crf(IMAGE, LABELS, 2, preset=settings)


@pytest.mark.parametrize("implementation", ["lattice", "pydensecrf"])
@pytest.mark.parametrize("factor", [0, -1, NAN, INF, 1e30, "2", None])
def test_crf_scale_factors(implementation, factor):
    settings = replace(CRF_PRESETS["psa"], implementation=implementation)
    with pytest.raises(ParameterError, match="scale_factor"):
        dense_crf(IMAGE, SCORES, settings, scale_factor=factor)


def test_the_crfs_parts_refuse_it_too():
    energies = [Energies(SCORES, np.ones(2, np.int64))]
    for wrong in (0, NAN, 1e-30):
        with pytest.raises(ParameterError, match="narrow"):
            reference_posteriors(IMAGE, energies, replace(CRF_PRESETS["psa"], bilateral_srgb=wrong))
        with pytest.raises(ParameterError, match=r"narrow|finite"):
            image_kernels(IMAGE, (wrong, 3.0), (80.0, 13.0, 10.0), CPU)
        with pytest.raises(ParameterError, match="narrow"):
            build_lattice(torch.full((2, 4), 1 / wrong if wrong else INF))


@pytest.mark.parametrize(
    "call",
    [
        partial(dense_crf, IMAGE, [[1, 2], [3]]),
        partial(dense_crf, torch.zeros(3, 6, 5), SCORES),
        partial(label_crf, IMAGE, None, 2),
        partial(picture_for_crf, IMAGE[0], "own"),
        partial(picture_for_crf, IMAGE, "own", (4, 4)),
        partial(random_walk, np.full((1, 2, 2), NAN), np.ones((4, 4)), 2.0, 3),
        partial(random_walk, np.ones((1, 2, 2)), np.full((4, 4), 2.0), 1e30, 3),
        partial(pixel_adaptive_refinement, torch.zeros(3, 6, 5), torch.full((1, 6, 5), NAN)),
        partial(pixel_adaptive_refinement, torch.zeros(3, 6, 5), torch.zeros(1, 6, 5), sigma=0),
        partial(pixel_adaptive_refinement, np.zeros((3, 6, 5)), torch.zeros(1, 6, 5)),
        partial(propagate, torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(4, 4)),
        partial(with_background, np.full((1, 2, 2), NAN), 4.0),
        partial(with_background, np.ones((1, 2, 2), int), 4.0),
        partial(fuse_scales, [torch.zeros(1, 2, 2)], (0, 4), "mean_logits"),
        partial(hellinger_distances, torch.full((2, 2), NAN)),
        partial(hellinger_distances, np.ones((2, 2))),
        partial(map_instances, np.zeros((0, 3))),
        partial(map_instances, SCORES[0], connectivity=5),
        partial(mask_instances, SCORES[0]),
        partial(BoxLocalization().update, SCORES[0], [[1, 2, 3, 4], [1]], label=0, predicted=0),
        partial(scale_boxes, [[1, 2, 3]], (8, 8)),
        partial(similarities, np.ones((1, 3)), np.ones((1, 4))),
        partial(NoiseRobustness().update, len, torch.zeros(1, 3, 2, 2), [0], (1.0, 1.0)),
        partial(NoiseRobustness().update, len, torch.zeros(1, 3, 2, 2), [-1], (1.0, 1.0, 1.0)),
    ],
)
def test_data_and_options(call):
    with pytest.raises((DataError, ParameterError)):
        call()


# -- perturbation

NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
PICTURES, MAPS = torch.rand(2, 3, 4, 4), torch.rand(2, 4, 4)
USUAL = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def measured(kind, images=PICTURES, maps=MAPS, labels=(0, 1), network=NETWORK, **options):
    """What a perturbation test of two images returns."""
    return kind().update(network, images, maps, list(labels), **{**USUAL, **options})


@pytest.mark.parametrize("kind", [PerturbationTest, AreaBetweenCurves])
@pytest.mark.parametrize(
    "wrong",
    [
        {"images": PICTURES.numpy()},
        {"images": PICTURES[:, :2], "mean": (0.5,) * 2, "std": (0.5,) * 2},
        {"images": torch.full_like(PICTURES, NAN)},
        {"maps": MAPS.numpy()},
        {"labels": ("cat", "dog")},
        {"labels": (0.5, 1.0)},
        {"mean": (NAN, 0.5, 0.5)},
        {"mean": 0.5},
        {"std": (0.0, 0.5, 0.5)},
        {"std": "abc"},
        {"copies_at_once": 2.5},
        {"network": nn.Flatten(0)},
    ],
)
def test_perturbation(kind, wrong):
    with pytest.raises((DataError, ParameterError)):
        measured(kind, **wrong)


def test_images_of_another_precision_are_cast_to_the_networks():
    exact = measured(AreaBetweenCurves)
    assert measured(AreaBetweenCurves, PICTURES.double())["morf"] == pytest.approx(exact["morf"], abs=1e-6)
    assert measured(AreaBetweenCurves, PICTURES.half())["morf"] == pytest.approx(exact["morf"], abs=1e-2)


# -- explanations


@pytest.mark.parametrize("method", [method.name for method in methods() if supports(build("class_token"), method.name)])
def test_explanations(method):
    model, images = build("class_token"), images_for("class_token")
    for wrong in (NAN, INF):
        broken = images.clone()
        broken[0, 0, 0, 0] = wrong
        with pytest.raises(ParameterError, match="finite"):
            explain(model, broken, [0, 1], method)
    for option in ("start_layer", "layer", "discard_ratio", "gamma", "rules", "fusion"):
        for value in (None, [1], {}, 1j):
            with pytest.raises(ParameterError):
                explain(model, images, [0, 1], method, **{option: value})


@pytest.mark.parametrize("method", [None, ["gradcam"], 3])
def test_no_method(method):
    with pytest.raises(ParameterError, match="Unknown explanation method"):
        explain(build("class_token"), images_for("class_token"), [0, 1], method)


def test_no_refusal_is_a_bare_exception():
    assert issubclass(DataError, UserError) and issubclass(ParameterError, UserError)
