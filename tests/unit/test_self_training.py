"""A network that predicts masks itself, and the loss that teaches it from its own class activation maps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import ParameterError
from seedbed.models import create_model, model_entry
from seedbed.train.objectives import build_objective
from seedbed.train.segmentation import PredictionSettings, predict_masks
from seedbed.train.self_training import self_labels

torch.set_num_threads(1)
CPU = torch.device("cpu")
NETWORK = "resnet38_single_stage_tiny"


def network(classes=6, seed=0):
    torch.manual_seed(seed)
    return create_model(NETWORK, classes)


def loss(**options):
    return build_objective("self_training", **{"thresholds": [0.3, 0.6], **options})


def test_the_network_classifies_and_decodes():
    model, images = network().eval(), torch.randn(2, 3, 40, 48)
    output = model(images)
    assert output.logits.shape == (2, 6) and output.maps.shape == (2, 6, 5, 6) and output.scores.shape == (2, 7, 5, 6)
    torch.testing.assert_close(output.logits, output.maps.mean((2, 3)))
    torch.testing.assert_close(model.logits(images), output.scores)
    enlarged = F.interpolate(output.scores, (40, 48), mode="bilinear", align_corners=True)
    torch.testing.assert_close(model.pixel_scores(images), enlarged)
    assert model_entry(NETWORK).predicts_masks and not model_entry("resnet38_tiny").predicts_masks


def test_labels_by_hand():
    """Class 0 is present: its map, cut at 0 and stretched, is 0, 0.25, 0.5, 1. Class 1 is not, however strong it is."""
    maps = torch.tensor([[[[-3.0, 1.0, 2.0, 4.0]], [[9.0, 9.0, 0.0, 9.0]]]])
    labels, images = torch.tensor([[1.0, 0.0]]), torch.ones(1, 3, 1, 4)
    assert self_labels(images, maps, labels, (0.25, 0.5)).tolist() == [[[0, 0, 255, 1]]]
    assert self_labels(images, maps, labels, (0.2, 0.4)).tolist() == [[[0, 255, 1, 1]]]
    images[..., 3] = 0  # padding
    assert self_labels(images, maps, labels, (0.2, 0.4)).tolist() == [[[0, 255, 1, 255]]]
    assert self_labels(images + 1, maps, 0 * labels, (0.2, 0.4)).unique().tolist() == [0]  # no class: background


def test_the_strongest_present_class_wins():
    maps = torch.tensor([[[[0.0, 2.0]], [[8.0, 0.0]]]])
    assert self_labels(torch.ones(1, 3, 1, 2), maps, torch.ones(1, 2), (0.2, 0.4)).tolist() == [[[2, 1]]]


def test_the_loss_is_the_sum_of_its_parts():
    model, images, labels = network().eval(), torch.randn(2, 3, 40, 48), torch.eye(6)[:2]
    output = model(images)
    total, parts = loss(loss_weight=0.5)(model, (images, labels))
    classes = F.multilabel_soft_margin_loss(output.logits, labels)
    targets = self_labels(images, output.maps, labels, (0.3, 0.6))
    pixels = F.cross_entropy(model.pixel_scores(images), targets, ignore_index=255)
    torch.testing.assert_close(total, classes + 0.5 * pixels)
    torch.testing.assert_close(parts["pixels"], pixels.detach())
    assert float(parts["uncertain"]) == pytest.approx((targets == 255).float().mean().item())


def test_labels_carry_no_gradient():
    """The pixels' loss teaches decoder and backbone; what it learns from, the classifier, it leaves alone."""
    model, batch = network().eval(), (torch.randn(2, 3, 40, 40), torch.eye(6)[:2])
    with_pixels, without = (loss(loss_weight=weight)(model, batch)[0] for weight in (1.0, 0.0))
    (with_pixels - without).backward()
    assert model.cls_conv.weight.grad.abs().sum() > 0 and model.backbone.conv1a.weight.grad.abs().sum() > 0
    torch.testing.assert_close(model.fc8.weight.grad, torch.zeros_like(model.fc8.weight), atol=1e-7, rtol=0)


def test_nothing_certain_is_no_loss_of_pixels():
    images = torch.zeros(1, 3, 40, 40)  # padding alone
    total, parts = loss()(network().eval(), (images, torch.eye(6)[:1]))
    assert float(parts["pixels"]) == 0 and float(parts["uncertain"]) == 1 and torch.isfinite(total)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"thresholds": [0.6, 0.3]}, "0 <= low <= high <= 1"),
        ({"thresholds": [0.3]}, "thresholds must be"),
        ({"loss_weight": -1}, "loss_weight must be 0 or more"),
    ],
)
def test_numbers_out_of_range(options, problem):
    with pytest.raises(ParameterError, match=problem):
        loss(**options)


def test_another_network_is_refused():
    with pytest.raises(ParameterError, match="SingleStage; the network is a ResNet38Classifier"):
        loss().bind(create_model("resnet38_tiny", 6))


@pytest.mark.parametrize("fusion", ["mean_logits", "max_probability"])
def test_masks_are_the_decoders_winners(shapes, fusion):
    model, record = network().eval(), shapes.split("val")[0]
    settings = PredictionSettings(input=shapes_input(), fusion=fusion)
    ((image, found),) = predict_masks(model, shapes, [record], settings, None, CPU)
    assert image == record.image and found.dtype == np.uint8 and found.shape == record.size
    pixels = shapes_view(shapes, record)
    scores = model.pixel_scores(pixels) if fusion == "mean_logits" else F.interpolate(
        model.logits(pixels), found.shape, mode="bilinear"
    )  # fmt: skip
    np.testing.assert_array_equal(found, scores[0].argmax(0).numpy())


def shapes_input():
    from seedbed.data.views import InputView

    return InputView("imagenet")


def shapes_view(index, record):
    from seedbed.data.images import read_picture
    from seedbed.data.views import view

    return view(read_picture(index.root / record.path), size=None, normalisation="imagenet")[None]
