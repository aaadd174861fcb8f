import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seedbed.models import create_model
from seedbed.models.deeplab import AtrousPyramid

torch.set_num_threads(1)
NARROW = {"width_divisor": 64, "depths": (1, 1, 1, 1)}
NETWORKS = [
    ("deeplab_v1_resnet38", {**NARROW, "head_width": 8}, True),
    ("deeplab_v1_resnet38_mctformer", {**NARROW, "head_width": 8}, False),
    ("deeplab_v2_resnet38", NARROW, False),
    ("deeplab_v2_resnet101", {"architecture": "resnet18"}, False),
]


@pytest.mark.parametrize(("name", "overrides", "align_corners"), NETWORKS)
def test_scores_for_every_pixel_are_upsampled_from_stride_8(name, overrides, align_corners):
    torch.manual_seed(0)
    model, images = create_model(name, 7, **overrides).eval(), torch.randn(1, 3, 41, 65)
    scores = model.logits(images)
    assert scores.shape == (1, 7, 6, 9)
    expected = F.interpolate(scores, size=(41, 65), mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(model(images), expected)


@pytest.mark.parametrize(("name", "overrides", "align_corners"), NETWORKS)
def test_backbone_norms_are_frozen_and_everything_else_learns(name, overrides, align_corners):
    model = create_model(name, 7, **overrides)
    model(torch.randn(2, 3, 33, 33)).sum().backward()
    backbone = getattr(model, "backbone", model)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert not module.training
            assert module.weight.grad is None
    learned = {key for key, p in model.named_parameters() if p.grad is not None}
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    assert learned.isdisjoint(frozen)
    assert learned | frozen == {key for key, _ in model.named_parameters()}
    assert any("conv1a" in key for key in frozen) == ("resnet38" in name)
    assert all(any(key.startswith(f"{layer}.") for key in learned) for layer in model.new_layers)


def test_the_pyramid_is_a_sum_of_dilated_convolutions():
    torch.manual_seed(0)
    head, x = AtrousPyramid(3, 2, dilations=(1, 4)), torch.randn(1, 3, 9, 9)
    expected = sum(
        F.conv2d(x, branch.weight, branch.bias, padding=d, dilation=d)
        for branch, d in zip(head.branches, (1, 4), strict=True)
    )
    torch.testing.assert_close(head(x), expected)
    assert head.branches[0].weight.std() < 0.02
    assert head.branches[0].bias.abs().max() == 0


def test_full_size_deeplab_v2():
    """ResNet-101 without its classifier has 42.50 M parameters, the pyramid 4 * (2048 * 9 + 1) * 21."""
    with torch.device("meta"):
        model = create_model("deeplab_v2_resnet101", 21)
    assert sum(p.numel() for p in model.parameters()) == 42_500_160 + 4 * (2048 * 9 + 1) * 21
    assert len([m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]) == 104
