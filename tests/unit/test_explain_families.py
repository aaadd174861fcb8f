"""Every supported family: the traced forward pass is timm's, and every method runs and leaves the model alone."""

import pytest
import timm
import torch
from explain_models import FAMILIES, build, images_for, methods_for_any_vit, prefix_tokens

from seedbed.errors import UserError
from seedbed.explain import explain, supports
from seedbed.explain.forward import last_of, logits_of, run_blocks
from seedbed.explain.support import unreadable
from seedbed.explain.vit import ViT

GRIDS = {"rectangle": (2, 5), "dynamic_size": (6, 3), "dynamic_pad": (5, 4)}
NAMES = methods_for_any_vit()


@pytest.mark.parametrize("family", FAMILIES)
def test_traced_forward_equals_timm(family):
    model, images = build(family), images_for(family)
    vit = ViT(model)
    readout = vit.readout()
    with torch.no_grad():
        found = logits_of(readout, last_of(run_blocks(vit, vit.embed(images)[0], readout)))
        torch.testing.assert_close(found, model(images), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_runs_on_every_family(family, method):
    model, images = build(family), images_for(family)
    grid = GRIDS.get(family, (4, 4))
    if method == "lrp" and family != "hybrid":
        grid = tuple(images.shape[-2:])
    options = {"normalise": False} if method == "gradcam" else {}
    maps = explain(model, images, [1, 3], method, **options)
    assert maps.shape == (2, *grid)
    assert maps.dtype == torch.float64
    assert maps.isfinite().all()
    assert maps.abs().max() > 0


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("family", ["class_token", "hybrid"])
def test_model_is_left_as_it_was(family, method):
    model, images = build(family, attn_drop_rate=0.5, proj_drop_rate=0.5, pos_drop_rate=0.5), images_for(family)
    expected = explain(model, images, [1, 3], method)
    model.train()
    model.blocks[1].eval()
    model.head.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    grads = [parameter.requires_grad for parameter in model.parameters()]
    torch.testing.assert_close(explain(model, images, [1, 3], method), expected, equal_nan=True)
    assert [module.training for module in model.modules()] == flags
    assert [parameter.requires_grad for parameter in model.parameters()] == grads
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_flags_come_back_after_an_error():
    model = build("hybrid").train()
    model.patch_embed.backbone.register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        explain(model, images_for("hybrid"), None, "rollout")
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("method", NAMES)
def test_maps_do_not_depend_on_batch_mates(method):
    model, images = build("class_token"), images_for("class_token", count=3)
    together = explain(model, images, [0, 2, 4], method)
    for index, label in enumerate([0, 2, 4]):
        alone = explain(model, images[index : index + 1], [label], method)
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-7, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("count", [1, 3])
def test_classes_share_a_forward_pass_and_absent_ones_are_zero(method, count):
    model, images = build("average"), images_for("average", count=count)
    targets = torch.tensor([[0, -1, 4], [-1, -1, -1], [3, 3, 1]])[-count:]
    maps = explain(model, images, targets, method)
    for image in range(count):
        for slot in range(3):
            label = int(targets[image, slot])
            if label < 0:
                assert torch.equal(maps[image, slot], torch.zeros_like(maps[image, slot]))
            else:
                single = explain(model, images[image : image + 1], [label], method)[0]
                torch.testing.assert_close(maps[image, slot], single, rtol=1e-7, atol=1e-12, equal_nan=True)


def test_many_pairs_are_cut_into_chunks():
    model, images = build("class_token"), images_for("class_token", count=4)
    every = torch.arange(5).repeat(4, 1)
    maps = explain(model, images, every, "transformer_attribution")
    for label in range(5):
        single = explain(model, images, [label] * 4, "transformer_attribution")
        torch.testing.assert_close(maps[:, label], single, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", NAMES)
def test_half_precision_models(method, dtype):
    images = images_for("class_token")
    half = build("class_token").to(dtype)
    options = {"normalise": False} if method == "gradcam" else {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = explain(half, images, [1, 3], method, **options)
    assert maps.dtype == dtype
    # The same weights, rounded, in float64: only the maps' own rounding (and float32's, which LRP magnifies) is left.
    rounded = build("class_token").to(dtype).double()
    expected = explain(rounded, images.to(dtype).double(), [1, 3], method, **options)
    tolerance = 3 * torch.finfo(dtype).eps
    torch.testing.assert_close(maps.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_works_under_inference_mode():
    model, images = build("norm_pre"), images_for("norm_pre")
    expected = explain(model, images, None, "generic_attribution")
    with torch.inference_mode():
        found = explain(model, images.clone(), None, "generic_attribution")
    torch.testing.assert_close(found.clone(), expected)


@pytest.mark.parametrize(
    ("name", "overrides", "reason"),
    [
        ("vit_small_patch14_dinov2", {"num_classes": 3}, None),
        ("vit_tiny_patch16_224", {"num_classes": 0}, "no linear classification head"),
        ("vit_base_patch16_siglip_224", {"num_classes": 3}, "pooling is 'map'"),
        ("vit_giant_patch14_dinov2", {"num_classes": 3}, "not timm's plain two-layer Mlp"),
        ("vit_small_patch16_18x2_224", {}, "block 0: its type is ParallelThingsBlock"),
        ("vit_base_patch16_rpn_224", {}, "ResPostBlock"),
        ("swin_tiny_patch4_window7_224", {}, "not a timm VisionTransformer"),
        ("resnet18", {}, "not a timm VisionTransformer"),
    ],
)
def test_unreadable_models_are_refused_with_the_reason(name, overrides, reason):
    with torch.device("meta"):
        model = timm.create_model(name, **overrides)
    found = unreadable(model)
    assert (found is None) if reason is None else (reason in found)
    assert supports(model, "rollout") is (reason is None)


def test_refusal_names_the_methods_that_can():
    model = timm.create_model("resnet10t", num_classes=4)
    with pytest.raises(UserError, match=r"'rollout' cannot explain this ResNet: .*Methods that can: advcam, cam\."):
        explain(model, torch.zeros(1, 3, 32, 32), None, "rollout")


def test_a_subclass_with_its_own_forward_is_refused():
    model = build("class_token")

    class Odd(type(model)):
        def forward_features(self, x):
            return super().forward_features(x)

    model.__class__ = Odd
    assert "overrides forward_features" in unreadable(model)


def test_adapters_in_place_of_linear_layers_are_refused():
    class Adapter(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    model = build("class_token")
    model.blocks[2].attn.proj = Adapter(24, 24).double()
    assert unreadable(model) == "block 2: proj is Adapter, not a plain linear layer"
    model = build("distilled")
    model.head_dist = torch.nn.Identity()
    assert unreadable(model) == "it has no linear classification head but Identity"


def test_prefix_tokens_are_counted():
    assert prefix_tokens(build("distilled")) == 2
    assert ViT(build("registers")).prefix == 3
