"""Class activation maps: their mean is the logit wherever the head averages features."""

from types import SimpleNamespace

import pytest
import timm
import torch
from explain_models import build, images_for
from torch import nn

from seedbed.errors import UserError
from seedbed.explain import explain, supports
from seedbed.models import create_model

EVERY = torch.arange(5)


@pytest.mark.parametrize("family", ["average", "average_after_norm", "no_class_token"])
def test_mean_of_the_map_is_the_logit_of_an_averaging_transformer(family):
    model, images = build(family), images_for(family)
    maps = explain(model, images, EVERY.repeat(2, 1), "cam")
    constant = model.head.bias
    if not isinstance(model.fc_norm, nn.Identity):
        constant = constant + model.head.weight @ model.fc_norm.bias
    torch.testing.assert_close(maps.mean((2, 3)) + constant, model(images), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("family", ["class_token", "registers", "distilled"])
def test_head_of_a_class_token_reads_each_patch(family):
    model, images = build(family), images_for(family)
    tokens = model.forward_features(images)[:, model.num_prefix_tokens :]
    expected = tokens @ model.head.weight.T
    if family == "distilled":
        expected = (expected + tokens @ model.head_dist.weight.T) / 2
    maps = explain(model, images, EVERY.repeat(2, 1), "cam")
    torch.testing.assert_close(maps.flatten(2), expected.mT, rtol=1e-9, atol=1e-10)


def test_blocks_of_any_kind_will_do():
    model = timm.create_model(
        "vit_small_patch14_reg4_dinov2", num_classes=3, img_size=28, depth=1, mlp_layer=timm.layers.SwiGLU
    ).eval()
    images = torch.randn(1, 3, 28, 28)
    assert not supports(model, "rollout")
    assert explain(model, images, [1], "cam").shape == (1, 2, 2)


@pytest.mark.parametrize(
    "name",
    ["resnet10t", "convnext_atto", "mobilenetv3_small_050", "efficientnet_b0", "regnetx_002", "densenet121"],
)
def test_cnn_maps_average_to_the_logits_or_are_refused(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4).eval()
    images = torch.randn(2, 3, 64, 64)
    linear = name in ("resnet10t", "efficientnet_b0", "regnetx_002", "densenet121")
    if not linear:
        with pytest.raises(UserError, match="'cam' is not defined for this"):
            explain(model, images, [0, 1], "cam")
        return
    maps = explain(model, images, torch.arange(4).repeat(2, 1), "cam")
    bias = model.get_classifier().bias
    torch.testing.assert_close(maps.mean((2, 3)) + bias, model(images), rtol=1e-4, atol=1e-5)


def test_swin_keeps_channels_last():
    torch.manual_seed(0)
    options = {"img_size": 64, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=4, **options).eval()
    images = torch.randn(2, 3, 64, 64)
    maps = explain(model, images, torch.arange(4).repeat(2, 1), "cam")
    assert maps.shape == (2, 4, 8, 8)
    torch.testing.assert_close(maps.mean((2, 3)) + model.head.fc.bias, model(images), rtol=1e-4, atol=1e-5)


def test_batch_norm_statistics_do_not_move():
    model = timm.create_model("resnet10t", num_classes=4).train()
    before = model.bn1.running_mean.clone() if hasattr(model, "bn1") else None
    explain(model, torch.randn(2, 3, 64, 64), None, "cam")
    assert before is not None and torch.equal(model.bn1.running_mean, before)
    assert all(module.training for module in model.modules())


def test_a_network_without_the_names_is_refused():
    with pytest.raises(UserError, match="it lacks timm's forward_features, forward_head, get_classifier"):
        explain(nn.Sequential(nn.Conv2d(3, 2, 1)), torch.zeros(1, 3, 4, 4), None, "cam")


def test_psas_classifier_is_explained_by_its_own_maps():
    torch.manual_seed(0)
    model, images = create_model("resnet38_tiny", 3), torch.randn(2, 3, 40, 56)
    maps = explain(model, images, [[2, 0], [1, -1]], "cam")
    model.eval()
    expected, logits = model.cam(images), model(images)
    torch.testing.assert_close(maps[0].relu(), expected[0, [2, 0]])
    torch.testing.assert_close(maps[1, 0].mean(), logits[1, 1])
    assert not maps[1, 1].any()


@pytest.mark.parametrize("name", ["convnextv2_atto", "convnext_atto", "mobilenetv3_small_050", "resnet10t"])
def test_what_cannot_be_mapped_is_known_beforehand(name):
    """The head is tried on a small feature map, so ``supports`` says what ``explain`` will."""
    model = timm.create_model(name, num_classes=4).eval()
    assert supports(model, "cam") == (name == "resnet10t")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_refuses_what_float32_refuses(dtype):
    torch.manual_seed(0)
    images = torch.randn(1, 3, 64, 64, dtype=dtype)
    pooled = timm.create_model("resnet10t", num_classes=4, global_pool="max").eval()
    for model in (pooled, timm.create_model("convnextv2_atto", num_classes=4).eval()):
        assert not supports(model, "cam")
        with pytest.raises(UserError, match="'cam' is not defined for this"):
            explain(model.to(dtype), images, [1], "cam")
    model = timm.create_model("resnet10t", num_classes=4).eval()
    half = explain(model.to(dtype), images, [1], "cam").float()
    exact = explain(model.float(), images.float(), [1], "cam")
    torch.testing.assert_close(half, exact, rtol=0.1, atol=0.1 * float(exact.abs().max()))


@pytest.mark.parametrize(("wrap", "inner"), [(torch.nn.DataParallel, "module"), (torch.compile, "_orig_mod")])
def test_wrapped_networks_name_the_remedy(wrap, inner):
    model = wrap(timm.create_model("resnet10t", num_classes=4).eval())
    with pytest.raises(UserError, match=rf"wraps the network; explain the network itself: model\.{inner}"):
        explain(model, torch.zeros(1, 3, 64, 64), [1], "cam")


class Task(torch.nn.Module):
    """As a Lightning module holds its network."""

    def __init__(self, model):
        super().__init__()
        self.loss, self.model = torch.nn.CrossEntropyLoss(), model


@pytest.mark.parametrize(
    ("wrap", "inner"),
    [
        (lambda m: torch.nn.DataParallel(torch.compile(m)), r"model\.module\._orig_mod"),
        (torch.optim.swa_utils.AveragedModel, r"model\.module"),
        (timm.utils.ModelEmaV3, r"model\.module"),
        (timm.utils.ModelEma, r"model\.ema"),
        (Task, r"model\.model"),
        (lambda m: Task(torch.compile(m)), r"model\.model\._orig_mod"),
        (lambda m: torch.nn.Sequential(torch.nn.Identity(), m), r"model\[1\]"),
        (lambda m: SimpleNamespace(model=m), r"model\.model"),
    ],
)
def test_whatever_holds_a_network_says_where_it_is_and_is_not_supported(wrap, inner):
    model = wrap(timm.create_model("resnet10t", num_classes=4).eval())
    assert not supports(model, "cam")
    with pytest.raises(UserError, match=rf"{inner}\.$"):
        explain(model, torch.zeros(1, 3, 64, 64), [1], "cam")
