import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seedbed.errors import ParameterError
from seedbed.models import create_model, four_parameter_groups
from seedbed.models.resnet38 import BottleneckBlock, ResNet38, WideBlock

torch.set_num_threads(1)
NARROW = ResNet38(width_divisor=32).eval()


def randomise_norms(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias)
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)


def norm_relu(x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    mean, scale, shift = (v[:, None, None] for v in (norm.running_mean, norm.weight, norm.bias))
    return ((x - mean) / (norm.running_var[:, None, None] + 1e-5).sqrt() * scale + shift).clamp(min=0)


@pytest.mark.parametrize(("width_out", "stride", "projected"), [(4, 1, False), (4, 2, True), (6, 1, True)])
def test_wide_block_by_formula(width_out, stride, projected):
    torch.manual_seed(0)
    block, x = WideBlock(4, 5, width_out, stride, first_dilation=1, dilation=2).eval(), torch.randn(2, 4, 9, 7)
    randomise_norms(block)
    a = norm_relu(x, block.bn_branch2a)
    branch = F.conv2d(a, block.conv_branch2a.weight, stride=stride, padding=1)
    branch = F.conv2d(norm_relu(branch, block.bn_branch2b1), block.conv_branch2b1.weight, padding=2, dilation=2)
    shortcut = F.conv2d(a, block.conv_branch1.weight, stride=stride) if projected else x
    output, pre_activation = block(x)
    assert hasattr(block, "conv_branch1") == projected
    torch.testing.assert_close(output, branch + shortcut)
    torch.testing.assert_close(pre_activation, a)


def test_bottleneck_block_by_formula():
    torch.manual_seed(0)
    block, x = BottleneckBlock(4, 8, dilation=4, dropout=0.5).eval(), torch.randn(2, 4, 9, 7)
    randomise_norms(block)
    a = norm_relu(x, block.bn_branch2a)
    branch = norm_relu(F.conv2d(a, block.conv_branch2a.weight), block.bn_branch2b1)
    branch = norm_relu(F.conv2d(branch, block.conv_branch2b1.weight, padding=4, dilation=4), block.bn_branch2b2)
    expected = F.conv2d(branch, block.conv_branch2b2.weight) + F.conv2d(a, block.conv_branch1.weight)
    torch.testing.assert_close(block(x)[0], expected)
    assert [c.out_channels for c in (block.conv_branch2a, block.conv_branch2b1, block.conv_branch2b2)] == [2, 4, 8]


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_features_are_an_eighth_rounded_up(height, width):
    with torch.no_grad():
        taps = NARROW.taps(torch.zeros(1, 3, height, width))
    size = (-(-height // 8), -(-width // 8))
    assert [tuple(tap.shape[1:]) for tap in taps] == [(16, *size), (32, *size), (128, *size)]


def test_depths_and_strides_can_be_chosen():
    model = ResNet38(width_divisor=64, depths=(1, 2, 1, 1), strides=(2, 2, 1))
    names = [name for name, _ in model.named_children()]
    assert names == ["conv1a", "b2", "b3", "b3_1", "b4", "b5", "b6", "b7", "bn7"]
    assert model(torch.zeros(1, 3, 16, 24)).shape == (1, 64, 4, 6)


def test_frozen_norms_never_learn_and_others_do():
    for frozen in (True, False):
        model = create_model("resnet38", 3, width_divisor=32, freeze_norm=frozen).train()
        model(torch.randn(2, 3, 32, 32)).sum().backward()
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(m.training != frozen for m in norms)
        assert all((m.running_mean.abs().max() == 0) == frozen for m in norms)
        assert all((m.weight.grad is None) for m in norms) == frozen
        assert model.conv1a.weight.grad is None
        assert model.b2.conv_branch1.weight.grad is None
        assert model.b3.conv_branch1.weight.grad is not None


def test_the_mean_of_the_class_scores_is_the_logit():
    torch.manual_seed(0)
    model, images = create_model("resnet38_tiny", 4).eval(), torch.randn(2, 3, 40, 56)
    scores = model.fc8(model.taps(images).conv6)
    torch.testing.assert_close(model(images), scores.mean(dim=(2, 3)))
    torch.testing.assert_close(model.cam(images), scores.clamp(min=0))


def test_dropout_works_in_training_only():
    torch.manual_seed(0)
    model, images = create_model("resnet38", 4, width_divisor=16), torch.randn(1, 3, 16, 16)
    assert not torch.equal(model.train()(images), model(images))
    assert torch.equal(model.eval()(images), model(images))


@pytest.mark.parametrize(
    "name",
    [
        "resnet38_tiny",
        "affinitynet_resnet38_tiny",
        "deeplab_v1_resnet38_tiny",
        "affinitynet_hybrid_tiny",
        "affinitynet_multilevel_tiny",
    ],
)
def test_parameter_groups_hold_every_trained_parameter_once(name):
    model = create_model(name, 4)
    groups = model.parameter_groups(weight_decay=0.5)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    names = {id(p): key for key, p in model.named_parameters()}
    for i, group in enumerate(groups):
        for key in (names[id(p)] for p in group["params"]):
            assert key.endswith(".bias") == bool(i % 2)
            assert key.startswith(tuple(f"{layer}." for layer in model.new_layers)) == (i >= 2)


def test_parameter_groups_need_to_know_the_new_layers():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert [len(g["params"]) for g in four_parameter_groups(model, 0, new_layers=("1",))] == [1, 1, 1, 1]
    with pytest.raises(ParameterError, match="new_layers"):
        four_parameter_groups(model, 0)
    with pytest.raises(ParameterError, match="no layer 'head'"):
        four_parameter_groups(model, 0, new_layers=("head",))
