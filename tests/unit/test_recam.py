"""ReCAM by hand: masked features, the softmax of present classes, maps of both heads, a few steps."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from training_toys import trained_on_pictures

from seedbed.errors import ParameterError, UserError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights
from seedbed.models.recam import masked_features
from seedbed.params import read_params, resolve
from seedbed.train.objectives import build_objective
from seedbed.train.recam import softmax_of_present

torch.set_num_threads(1)
REPOSITORY = Path(__file__).parents[2]
LABELS = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])
SIZES = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_width": 8, "output_stride": 8}


def network(seed=0, classes=4, **options):
    torch.manual_seed(seed)
    return create_model("recam_resnet50", classes, **SIZES, **options)


def images(height=32, width=40, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def objective(**options):
    return build_objective("recam", **options)


def test_masked_features_by_hand():
    """Two places, two channels; maps (4, 1), (-1, 2) and (-3, -1) count as (1, 1/4), (0, 1) and nothing."""
    features = torch.tensor([[[[2.0, 6.0]], [[4.0, 8.0]]]])
    maps = torch.tensor([[[[4.0, 1.0]], [[-1.0, 2.0]], [[-3.0, -1.0]]]])
    expected = [[(2 + 1.5) / 2, (4 + 2) / 2], [6 / 2, 8 / 2], [0, 0]]
    torch.testing.assert_close(masked_features(features, maps), torch.tensor([expected]), rtol=2e-5, atol=0)


def test_softmax_of_present_classes_by_hand():
    """Of the first image classes 0 and 2, with probabilities 1/4 and 1/2 of themselves; of the second class 1, 2/3."""
    masked = torch.zeros(3, 3, 3)
    masked[0, 0] = torch.tensor([0.0, math.log(1.0), math.log(2.0)])  # 1, 1, 2
    masked[0, 2] = torch.tensor([0.0, 0.0, math.log(2.0)])
    masked[1, 1] = torch.tensor([0.0, math.log(4.0), 0.0])
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0]])
    first, second = (math.log(4) + math.log(2)) / 2, math.log(1.5)
    assert float(softmax_of_present(masked, labels)) == pytest.approx((first + second + 0) / 3)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    model = network().eval()
    total, parts = objective(softmax_weight=0.1)(model, (images(), LABELS))
    torch.testing.assert_close(total.detach(), parts["class"] + 0.1 * parts["softmax"])
    torch.testing.assert_close(parts["class"], F.multilabel_soft_margin_loss(model.backbone(images()), LABELS).detach())
    # Each present class by itself, as its image's mean.
    features = model.backbone.forward_features(images())
    maps = F.conv2d(features, model.backbone.fc.weight[..., None, None]).relu()
    costs = []
    for image, label in ((0, 0), (0, 2), (1, 1)):
        score = maps[image, label] / (maps[image, label].amax() + 1e-5)
        logits = model.softmax_head((score * features[image]).mean((1, 2)))
        costs.append(F.cross_entropy(logits[None], torch.tensor([label])))
    torch.testing.assert_close(parts["softmax"], ((costs[0] + costs[1]) / 2 + costs[2]).detach() / 2)


def test_what_the_softmax_teaches():
    """Its gradient reaches both heads and the features, but neither the first convolution nor the norms."""
    model = network()
    objective()(model.train(), (images(), LABELS))[1]
    softmax_of_present(model(images()).masked, LABELS).backward()
    learnt = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {"softmax_head.weight", "backbone.fc.weight", "backbone.layer1.0.conv1.weight"} <= learnt
    assert not any("bn" in name or name == "backbone.conv1.weight" for name in learnt)
    assert not any(module.training for name, module in model.named_modules() if name.endswith("bn1"))
    assert network(freeze_norm=False).train().backbone.bn1.training


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_absent_classes_cost_nothing(seed):
    generator = torch.Generator().manual_seed(seed)
    masked = torch.randn(2, 4, 4, generator=generator)
    other = torch.where(LABELS[..., None] > 0, masked, torch.randn(2, 4, 4, generator=generator))
    assert torch.equal(softmax_of_present(masked, LABELS), softmax_of_present(other, LABELS))


def test_maps_of_both_heads():
    model, targets = network().eval(), torch.tensor([[2, 0], [1, -1]])
    with torch.no_grad():
        features = model.backbone.forward_features(images())
    heads = {"sigmoid": model.backbone.fc.weight, "softmax": model.softmax_head.weight}
    for weights, head in {**heads, "product": heads["sigmoid"] * heads["softmax"]}.items():
        maps = torch.einsum("cd,bdhw->bchw", head.detach(), features)
        found = explain(model, images(), targets, "recam", weights=weights)
        torch.testing.assert_close(found[0], maps[0, [2, 0]])
        torch.testing.assert_close(found[1, 0], maps[1, 1])
        assert not found[1, 1].any()
    cams = explain(model.backbone, images(), targets, "cam")
    torch.testing.assert_close(explain(model, images(), targets, "recam", weights="sigmoid"), cams)
    predicted = int(model(images()[:1]).logits.argmax())
    alone = explain(model, images()[:1], None, "recam")
    torch.testing.assert_close(alone, explain(model, images()[:1], [predicted], "recam"))


def test_other_networks_have_no_such_maps():
    other = create_model("resnet38_tiny", 4)
    with pytest.raises(UserError, match="it is not ReCAM's classifier"):
        explain(other, torch.randn(1, 3, 32, 32), None, "recam")
    with pytest.raises(ParameterError, match="ReCAM; the network is a ResNet38Classifier"):
        objective().bind(other)


@pytest.mark.parametrize("preset", ["demo", "small", "paper"])
def test_it_starts_from_the_classifier(preset):
    entries = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": preset}).models
    own, first = entries["recam"], entries[entries["recam"].starts_from]
    torch.manual_seed(0)
    model, classifier = (create_model(entry.architecture, 4, **entry.options).eval() for entry in (own, first))
    options = dict(own.weights_options)
    load_weights(model.get_submodule(options.pop("into")), classifier.state_dict(), **options)
    with torch.no_grad():
        torch.testing.assert_close(model(images()).logits, classifier(images()))


@pytest.mark.parametrize("name", ["resnet5O", "vit_tiny_patch16_224"])
def test_other_backbones_are_refused(name):
    with pytest.raises(ParameterError, match=f"architecture: .*{name}"):
        create_model("recam_resnet50", 4, architecture=name)


def test_numbers_out_of_range():
    with pytest.raises(ParameterError, match=r"softmax_weight=-1\.0"):
        objective(softmax_weight=-1.0)


def test_a_few_steps_on_the_built_in_images(shapes, tmp_path):
    model = network(classes=len(shapes.classes))
    trained, history, before = trained_on_pictures(shapes, model, objective(), tmp_path / "state.pt")
    assert set(history.rows[0]) >= {"loss", "class", "softmax"}
    assert history.rows[-1]["loss"] < history.rows[0]["loss"]
    moved = {name for name, tensor in trained.named_parameters() if not torch.equal(tensor, before[name])}
    assert moved == {name for name, tensor in trained.named_parameters() if tensor.requires_grad}
