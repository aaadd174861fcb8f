"""VGG-16 of PSA: stage by stage from its formula, sizes, groups, and how ImageNet weights start it."""

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vgg import VGG

from seedbed.errors import DataError, ParameterError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights
from seedbed.models.pair_affinity import pair_affinities
from seedbed.models.vgg16 import VGG16
from seedbed.models.vgg16_weights import vgg16_timm

torch.set_num_threads(1)
NARROW = VGG16(width_divisor=32, depths=(1, 2, 1, 1, 2)).eval()


def convolved(x: torch.Tensor, conv: torch.nn.Conv2d, dilation: int) -> torch.Tensor:
    padding = dilation * (conv.kernel_size[0] // 2)
    return F.conv2d(x, conv.weight, conv.bias, padding=padding, dilation=dilation).clamp(min=0)


def test_taps_by_formula():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 21, 34)
    x, net, conv4 = images, NARROW, None
    for stage, stride, dilation in (
        (net.conv1, 2, 1), (net.conv2, 2, 1), (net.conv3, 2, 1), (net.conv4, 1, 1), (net.conv5, 1, 2),
    ):  # fmt: skip
        for layer in stage:
            x = convolved(x, layer[0], dilation)
        conv4 = x if stage is net.conv4 else conv4
        conv5, x = x, F.max_pool2d(x, 3, stride, padding=1)
    fc7 = convolved(convolved(x, net.fc6[0], 12), net.fc7[0], 1)
    for found, expected in zip(net.taps(images), (conv4, conv5, fc7), strict=True):
        torch.testing.assert_close(found, expected)
        assert found.shape[-2:] == (3, 5)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_features_are_an_eighth_rounded_up(height, width):
    with torch.no_grad():
        for tap in NARROW.taps(torch.zeros(1, 3, height, width)):
            assert tap.shape[-2:] == (-(-height // 8), -(-width // 8))


def test_published_size():
    with torch.device("meta"):
        model = create_model("vgg16_cam", 20)
    # 14,714,688 of VGG-16's convolutions, fc6 and fc7 with biases, fc8 without.
    assert sum(p.numel() for p in model.parameters()) == 14_714_688 + (512 * 9 + 1) * 1024 + 1025 * 1024 + 20 * 1024
    frozen = {name.partition(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "conv2"}
    groups = model.parameter_groups(5e-4)
    assert [len(group["params"]) for group in groups] == [11, 11, 1, 0]
    assert [group["lr_scale"] for group in groups] == [1, 2, 10, 20]


def test_cam_is_the_head_before_pooling():
    torch.manual_seed(0)
    model, images = create_model("vgg16_cam_tiny", 4).eval(), torch.randn(2, 3, 40, 48)
    maps = explain(model, images, [[0, 1, 2, 3]] * 2, "cam")
    torch.testing.assert_close(maps.mean((2, 3)), model(images))
    torch.testing.assert_close(maps.clamp(min=0), model.cam(images))


def test_affinity_features_by_formula():
    torch.manual_seed(0)
    model, images = create_model("affinitynet_vgg16_tiny").eval(), torch.randn(1, 3, 48, 80)
    parts = []
    for tap, lateral in zip(model.taps(images), (model.f8_3, model.f8_4, model.f8_5), strict=True):
        x = F.conv2d(tap, lateral[0].weight).unflatten(1, (-1, 8))
        x = (x - x.mean((2, 3, 4), keepdim=True)) / (x.var((2, 3, 4), correction=0, keepdim=True) + 1e-5).sqrt()
        parts.append(F.elu(x.flatten(1, 2)))
    features = F.elu(F.conv2d(torch.cat(parts, dim=1), model.f9.weight))
    output = model(images)
    torch.testing.assert_close(output.features, features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.pairs, pair_affinities(features), atol=1e-5, rtol=1e-5)
    assert [part.shape[1] for part in parts] == [16, 16, 32]


def test_published_affinity_features():
    with torch.device("meta"):
        model = create_model("affinitynet_vgg16")
    assert [lateral[0].weight.shape[:2] for lateral in (model.f8_3, model.f8_4, model.f8_5)] == [
        (64, 512), (128, 512), (256, 1024),
    ]  # fmt: skip
    assert model.f9.weight.shape[:2] == (448, 448)


@pytest.mark.parametrize("name", ["vgg16_cam", "affinitynet_vgg16"])
def test_imagenet_weights_start_all_but_the_new_layers(name):
    with torch.device("meta"):
        theirs = timm.create_model("vgg16").state_dict()
    with torch.device("meta"):
        model = create_model(name, 20)
    converted = vgg16_timm(theirs, model)
    shapes = {key: value.shape for key, value in converted.tensors.items()}
    assert shapes == {
        key: value.shape for key, value in model.state_dict().items() if key.partition(".")[0] not in model.new_layers
    }
    assert converted.dropped == ["head.fc.weight", "head.fc.bias"] and converted.fresh == model.new_layers


def test_fully_connected_layers_are_decimated():
    weight = torch.arange(8 * 2 * 49.0).reshape(8, 2, 7, 7)
    given = {
        "features.28.weight": torch.zeros(1),
        "pre_logits.fc1.weight": weight,
        "pre_logits.fc1.bias": torch.arange(8.0),
        "pre_logits.fc2.weight": torch.arange(64.0).reshape(8, 8, 1, 1),
    }
    found = vgg16_timm(given, torch.nn.Identity()).tensors
    assert set(found) == {"conv5.2.0.weight", "fc6.0.weight", "fc6.0.bias", "fc7.0.weight"}
    assert found["fc6.0.weight"][1, 0].tolist() == [[y * 7 + x + 4 * 98 for x in (0, 3, 6)] for y in (0, 3, 6)]
    assert found["fc6.0.bias"].tolist() == [0, 4]
    assert found["fc7.0.weight"][:, :, 0, 0].tolist() == [[0, 4], [32, 36]]
    with pytest.raises(DataError, match=r"'features\.1' is not the name of a layer of timm's vgg16"):
        vgg16_timm({"features.1.weight": weight}, torch.nn.Identity())


def test_fully_connected_layers_can_start_afresh():
    torch.manual_seed(0)
    widths = [4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M"]
    theirs = VGG(widths, num_classes=2).state_dict()
    model = create_model("vgg16_cam", 2, width_divisor=16)
    result = load_weights(model, theirs, layout="vgg16_timm", drop=["pre_logits"], fresh=["fc6", "fc7"])
    assert {name.partition(".")[0] for name in result.fresh} == {"fc6", "fc7", "fc8"}


def test_the_first_stage_computes_what_timm_s_does():
    torch.manual_seed(0)
    theirs = VGG([4, 4, "M"], num_classes=1).features[:4]
    ours = VGG16(width_divisor=16).conv1
    given = {f"features.{name}": tensor for name, tensor in theirs.state_dict().items()}
    found = vgg16_timm(given, torch.nn.Identity()).tensors
    ours.load_state_dict({name.removeprefix("conv1."): tensor for name, tensor in found.items()})
    images = torch.randn(1, 3, 9, 7)
    torch.testing.assert_close(ours(images), theirs(images))


def test_a_classifier_starts_an_affinity_network():
    torch.manual_seed(0)
    first, second = create_model("vgg16_cam_tiny", 3), create_model("affinitynet_vgg16_tiny")
    result = load_weights(second, dict(first.state_dict()), layout="vgg16_backbone")
    assert result.dropped == ["fc8.weight"]
    assert {name.partition(".")[0] for name in result.fresh} == {"f8_3", "f8_4", "f8_5", "f9"}
    assert torch.equal(second.conv3[0][0].weight, first.conv3[0][0].weight)


def test_what_makes_no_network_is_refused():
    with pytest.raises(ParameterError, match=r"Unknown VGG-16 level to freeze 'conv6'"):
        VGG16(width_divisor=32, frozen=["conv6"])
    for wrong in ({"depths": (1, 1, 1)}, {"depths": (1, 1, 0, 1, 1)}, {"width_divisor": 3}):
        with pytest.raises(ParameterError, match="VGG-16 cannot have widths"):
            VGG16(**wrong)
