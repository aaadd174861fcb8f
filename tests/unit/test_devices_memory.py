"""Batches that do not fit are halved, and no result changes; a fake network runs out of memory above a size."""

import logging
import re

import numpy as np
import pytest
import torch
import training_toys as toys
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seedbed.devices.memory import Fitting, training_fits
from seedbed.errors import UserError
from seedbed.evaluate.classification import predict_scores
from seedbed.evaluate.erasing import erased_logits, ranks
from seedbed.evaluate.protocols.measured_shard import run_protocol
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.models import create_model
from seedbed.params.stages import Explainer, Input, Segmenter
from seedbed.train.segmentation import predict_masks

CPU = torch.device("cpu")


def limited(limit):
    """Doubles its input, but only so many rows at once; notes what it was given."""
    calls = []

    def work(rows, more):
        calls.append(len(rows))
        if len(rows) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore text")
        return 2 * rows + more

    return work, calls


@given(st.integers(1, 30), st.integers(1, 30))
def test_results_are_those_of_the_whole_batch(count, limit):
    work, calls = limited(limit)
    rows = torch.arange(count * 2.0).view(count, 2)
    fit = Fitting("images")
    assert torch.equal(fit(work, rows, rows + 1), 3 * rows + 1)
    failed = [size for size in calls if size > limit]
    assert sum(calls) - sum(failed) == count
    calls.clear()
    fit(work, rows, rows)
    assert max(calls) <= limit  # what did not fit is not tried again


def test_halving_is_logged(caplog):
    with caplog.at_level(logging.WARNING):
        Fitting("views")(limited(2)[0], torch.ones(8, 1), torch.ones(8, 1))
    assert [record.message for record in caplog.records] == [
        "8 views do not fit into the GPU's memory; going on with 4 at once",
        "4 views do not fit into the GPU's memory; going on with 2 at once",
    ]


def test_one_that_does_not_fit_is_named():
    with pytest.raises(UserError, match=r"One of the images alone, of shape \(3, 5\), does not .* allocate 2 GiB"):
        Fitting("images")(limited(0)[0], torch.ones(4, 3, 5), torch.ones(4))


def test_an_empty_batch_and_other_errors_pass():
    assert Fitting("images")(limited(9)[0], torch.ones(0, 2), torch.ones(0, 2)).shape == (0, 2)
    with pytest.raises(RuntimeError, match="other"):
        Fitting("images")(lambda rows: (_ for _ in ()).throw(RuntimeError("other")), torch.ones(2))


@pytest.mark.parametrize(
    ("problem", "memory"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
        ("GET was unable to find an engine to execute this computation", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", False),
        ("CUDA error: an illegal memory access was encountered", False),
        ("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", False),
        ("The size of tensor a (3) must match the size of tensor b (4)", False),
    ],
)
def test_memory_errors_of_the_libraries(problem, memory):
    def work(rows):
        if len(rows) > 2:
            raise RuntimeError(problem)
        return rows

    rows = torch.arange(8.0)
    if memory:
        assert torch.equal(Fitting("images")(work, rows), rows)
        with (
            pytest.raises(UserError, match=r"batches of 16 does not fit .*resource gpu.*bf16.*batch_size"),
            training_fits(16),
        ):
            work(rows)
        return
    for call in (lambda: Fitting("images")(work, rows), lambda: work(rows)):
        with pytest.raises(RuntimeError, match=re.escape(problem)), training_fits(16):
            call()


def test_a_training_that_does_not_fit_says_what_to_set(tmp_path):
    def objective(model, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore text")

    with pytest.raises(UserError, match=r"batches of 4 does not fit into the GPU's memory: CUDA out of memory\. Tried"):
        toys.train(tmp_path / "state", toys.settings(), objective=objective)


class Small:
    """Makes a network run out of memory on batches above a size."""

    def __init__(self, model, limit):
        self.refused = 0
        first = getattr(model, "patch_embed", model)

        def forward(module, images, *arguments, **options):
            if len(images) > limit:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super(kind, module).forward(images, *arguments, **options)

        # Of a kind of its own: an explanation looks through hooks and patched forwards.
        kind = first.__class__ = type(type(first).__name__, (type(first),), {"forward": forward})


def network(classes):
    torch.manual_seed(0)
    return create_model("vit_tiny_patch8_96", classes, img_size=48).eval()


EXPLAINER = Explainer.model_validate(
    {
        "method": "attention_guided_cam",
        "input": {"size": [48, 48], "normalize": "half"},
        "scales": [1.0],
        "flip": True,
        "fusion": "min_max",
        "batch_size": 6,
        "background": 0.2,
        "sweep": False,
    }
)


@pytest.mark.parametrize("classes", ["labels", "predicted"])
def test_heat_maps_do_not_change(shapes, classes):
    settings = EXPLAINER.model_copy(update={"classes": classes})
    records = shapes.split("trainaug")
    expected = dict(picture_heatmaps(network(6), shapes, records, settings, CPU))
    model = network(6)
    small = Small(model, 2)
    found = dict(picture_heatmaps(model, shapes, records, settings, CPU))
    assert small.refused
    for image, heat in expected.items():
        assert found[image].classes.tolist() == heat.classes.tolist()
        torch.testing.assert_close(torch.tensor(found[image].maps), torch.tensor(heat.maps), rtol=1e-4, atol=1e-5)


def test_scores_and_erasing_do_not_change(shapes):
    records, settings = shapes.split("trainaug"), Input(size=(48, 48), normalize="half")
    model, pictures = network(6), torch.rand(3, 3, 48, 48)
    options = (pictures, ranks(torch.rand(3, 48, 48))[0], [0, 100, 2000], torch.zeros(1, 3, 1, 1), 8)
    expected = predict_scores(model, shapes, records, settings, CPU), erased_logits(model, *options)
    small = Small(model, 3)
    torch.testing.assert_close(predict_scores(model, shapes, records, settings, CPU), expected[0])
    torch.testing.assert_close(erased_logits(model, *options), expected[1])
    assert small.refused


def test_a_measurement_does_not_change(shapes):
    records = [record for record in shapes.split("trainaug") if record.mask]
    options = {"undefined": "background"}
    arguments = (shapes, records, EXPLAINER, options, CPU)
    expected = run_protocol("soft_segmentation", network(6), *arguments)
    model = network(6)
    small = Small(model, 1)
    found = run_protocol("soft_segmentation", model, *arguments)
    assert small.refused and found.keys() == expected.keys()
    for name in ("counts", "precisions", "row_f1"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-3)


def test_a_picture_that_a_segmenter_cannot_hold_is_named(shapes):
    """Its batches are single views already: nothing is left to halve."""
    training = {"augment": [], "loss": "pixel_cross_entropy", "lr": 0.1, "batch_size": 1, "epochs": 1}
    settings = Segmenter.model_validate({"architecture": "any", "input": {"normalize": "half"}, "train": training})
    model = nn.Conv2d(3, 4, 1)
    Small(model, 0)
    with pytest.raises(UserError, match="One of the scaled images alone"):
        next(predict_masks(model, shapes, shapes.split("val"), settings, None, CPU))
