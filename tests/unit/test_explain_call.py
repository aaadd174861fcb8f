"""The call itself: targets, options, images and the registry."""

import pytest
import timm
import torch
from explain_models import build, images_for, methods_for_any_vit
from torch import nn

from seedbed.errors import ParameterError, UserError
from seedbed.explain import count_undefined, explain, explainer, methods, min_max, supports, upsample
from seedbed.explain import method_registry as table
from seedbed.explain.targets import Pairs
from seedbed.models import create_model

PAPERS = [
    "attention_guided_cam", "cam", "generic_attribution", "gradcam", "lrp", "partial_lrp", "raw_attention", "rollout",
    "transformer_attribution",
]  # fmt: skip


def test_methods_are_listed_with_descriptions():
    listed = [method.name for method in methods()]
    beyond = [method.name for method in methods() if method.beyond_papers]
    assert set(PAPERS) < set(listed) and {"attnlrp", "legrad"} <= set(beyond) and listed[-len(beyond) :] == beyond
    assert {*PAPERS, "attention_sum", "attnlrp", "legrad"} <= set(methods_for_any_vit())
    assert all(method.description for method in methods())


@pytest.mark.parametrize("targets", [[1, 3], (1, 3), torch.tensor([1, 3]), torch.tensor([1, 3], dtype=torch.int32)])
def test_targets_may_be_lists_or_any_integer_tensor(targets):
    model, images = build("class_token"), images_for("class_token")
    expected = explain(model, images, torch.tensor([1, 3]), "generic_attribution")
    assert torch.equal(explain(model, images, targets, "generic_attribution"), expected)


@pytest.mark.parametrize("method", PAPERS)
def test_no_target_means_the_predicted_class(method):
    model, images = build("class_token"), images_for("class_token")
    predicted = model(images).argmax(1)
    expected = explain(model, images, predicted, method)
    torch.testing.assert_close(explain(model, images, None, method), expected, equal_nan=True)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([5, 0], "There is no class 5: the model has 5 classes, 0 to 4"),
        ([0, -2], "There is no class -2"),
        ([0], r"Targets have shape \(1,\); with 2 images they must be \[2\] or \[2, K\]"),
        ([[[0]], [[1]]], r"Targets have shape \(2, 1, 1\)"),
        ([0.0, 1.0], "Targets must be integer class indices; they are torch.float32"),
        (torch.tensor([True, False]), "they are torch.bool"),
    ],
)
def test_wrong_targets_are_named(targets, message):
    with pytest.raises(ParameterError, match=message):
        explain(build("class_token"), images_for("class_token"), targets, "gradcam")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 16, 16), r"float tensor \[B, channels, H, W\]; they are torch.float32 \(3, 16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "they are torch.uint8"),
        ([[1.0]], "they are list"),
        (torch.zeros(1, 1, 16, 16), "The images have 1 channels and the model takes 3"),
        (torch.zeros(1, 3, 20, 16), r"does not take images of shape \(1, 3, 20, 16\): .*20"),
        (torch.zeros(1, 3, 16, 16, device="meta"), "The images are on meta and the model is on cpu"),
    ],
)
def test_wrong_images_are_named(images, message):
    with pytest.raises(ParameterError, match=message):
        explain(build("class_token"), images, None, "rollout")


def test_unknown_method_and_option_show_the_nearest():
    model, images = build("class_token"), images_for("class_token")
    with pytest.raises(ParameterError, match=r"Unknown explanation method 'gradcamm'\. Did you mean 'gradcam'"):
        explain(model, images, None, "gradcamm")
    with pytest.raises(ParameterError, match=r"Unknown option of 'rollout' 'start_layr'\. Did you mean 'start_layer'"):
        explain(model, images, None, "rollout", start_layr=1)
    with pytest.raises(ParameterError, match="Unknown option of 'raw_attention' 'layer'"):
        explain(model, images, None, "raw_attention", layer=1)
    with pytest.raises(ParameterError, match="Unknown explanation method"):
        supports(model, "nothing")


def test_images_are_cast_and_maps_are_in_the_model_dtype():
    model = build("class_token").float()
    maps = explain(model, images_for("class_token"), [0, 1], "generic_attribution")
    assert maps.dtype == torch.float32


def test_an_empty_batch_gives_no_maps():
    model = build("class_token")
    for method in PAPERS:
        shape = (0, 16, 16) if method == "lrp" else (0, 4, 4)
        assert explain(model, images_for("class_token")[:0], None, method).shape == shape


def test_maps_carry_no_graph():
    model, images = build("class_token"), images_for("class_token").requires_grad_()
    assert not explain(model, images, None, "transformer_attribution").requires_grad


def test_another_family_can_register_a_method_and_an_implementation(monkeypatch):
    monkeypatch.setattr(table, "_METHODS", dict(table._METHODS))
    kept = list(table._METHODS["cam"].implementations)

    class Toy(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    def needs_toy(model):
        return None if isinstance(model, Toy) else "it is not a toy"

    @explainer("toy_map", needs=needs_toy, description="a toy")
    def toy_map(model, images, targets, *, factor=1.0):
        return factor * targets[:, :, None, None] * images[:, :1]

    @explainer("cam", needs=needs_toy)
    def toy_cam(model, images, targets):
        return images[:, :1]

    try:
        images = torch.ones(2, 3, 4, 4)
        assert explain(Toy(), images, [1, 2], "toy_map", factor=3.0)[1].eq(6.0).all()
        assert explain(Toy(), images, [1, 2], "cam").shape == (2, 4, 4)
        with pytest.raises(UserError, match=r"it is not a timm VisionTransformer.*Methods that can: cam, toy_map\."):
            explain(Toy(), images, [1, 2], "rollout")
        assert not supports(build("class_token"), "toy_map")
    finally:
        table._METHODS["cam"].implementations[:] = kept


def test_upsampling_by_hand():
    maps = torch.tensor([[[0.0, 4.0]]])
    assert upsample(maps, (1, 4)).tolist() == [[[0.0, 1.0, 3.0, 4.0]]]  # half-pixel centres
    assert upsample(torch.zeros(2, 3, 4, 5), (8, 10)).shape == (2, 3, 8, 10)
    assert upsample(torch.zeros(4, 5), (8, 10)).shape == (8, 10)


def test_min_max_scales_each_map_alone():
    maps = torch.tensor([[[1.0, 3.0], [2.0, 1.0]], [[-4.0, 0.0], [0.0, 0.0]]])
    assert min_max(maps).tolist() == [[[0.0, 1.0], [0.5, 0.0]], [[0.0, 1.0], [1.0, 1.0]]]


def test_constant_and_undefined_maps():
    maps = torch.stack([torch.full((2, 2), 3.0), torch.tensor([[0.0, float("nan")], [1.0, 2.0]]), torch.eye(2)])
    zeroed, published = min_max(maps), min_max(maps, constant="nan")
    assert zeroed[0].eq(0).all() and published[0].isnan().all()
    assert zeroed[1].isnan().all() and published[1].isnan().all()
    assert torch.equal(zeroed[2], torch.eye(2))
    assert (count_undefined(zeroed), count_undefined(published)) == (1, 2)
    with pytest.raises(ParameterError, match="constant must be"):
        min_max(maps, constant="one")


def test_whether_pairs_are_the_batch_itself_is_found_out_once(monkeypatch):
    compared, arange = [], torch.arange
    monkeypatch.setattr(torch, "arange", lambda *args, **options: compared.append(args) or arange(*args, **options))
    rows, order = torch.tensor([[5.0], [6.0]]), torch.tensor([0, 1])
    whole, turned = Pairs(order, order, 2), Pairs(order.flip(0), order, 2)
    for _ in range(3):
        assert whole.take(rows) is rows
        assert turned.take(rows).tolist() == [[6.0], [5.0]]
    assert len(compared) == 2


@pytest.mark.parametrize("target", [10, -2])
def test_methods_without_classes_refuse_classes_that_the_model_lacks(target):
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=10).eval()
    with pytest.raises(ParameterError, match=f"There is no class {target}: the model has 10 classes"):
        explain(model, torch.zeros(1, 3, 32, 32), [target], "rollout")


@pytest.mark.parametrize("targets", [[[1, 2], [3]], ["cat", "dog"], [None, 1], object()])
def test_ragged_and_textual_targets_are_refused(targets):
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=10).eval()
    with pytest.raises(ParameterError, match="Targets must be integer class indices"):
        explain(model, torch.zeros(2, 3, 32, 32), targets, "rollout")


@pytest.mark.parametrize("method", ["cam", "rollout", "lrp"])
@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 4, 32, 32), (1, 3, 33, 47), (1, 3, 4, 4)])
def test_images_that_the_model_cannot_take_are_refused(method, shape):
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=10).eval()
    with pytest.raises(ParameterError, match=r"[Tt]he model (takes 3|does not take images of shape)"):
        explain(model, torch.zeros(shape), [1], method)


def test_no_image_gives_no_map():
    model = timm.create_model("resnet10t", num_classes=3).eval()
    assert explain(model, torch.zeros(0, 3, 64, 64), None, "cam").shape[0] == 0


@pytest.mark.parametrize("method", ["rollout", "cam", "generic_attribution"])
def test_what_others_hang_on_a_model_is_refused_where_it_changes_the_answer(method):
    model, images = build("class_token"), images_for("class_token", count=1)
    expected, seen = explain(model, images, [1], method), []
    watching = model.blocks[0].register_forward_hook(lambda _, __, output: seen.append(output.shape))
    torch.testing.assert_close(explain(model, images, [1], method), expected)
    assert seen
    watching.remove()
    doubling = model.blocks[1].register_forward_hook(lambda _, __, output: 2 * output + 1)
    with pytest.raises(UserError, match=r"on blocks\.1 change what this VisionTransformer answers"):
        explain(model, images, [1], method)
    doubling.remove()
    model.head.forward = lambda x: x[:, :5] * 3
    with pytest.raises(UserError, match="patched forward on head"):
        explain(model, images, [1], method)
    del model.head.forward
    torch.testing.assert_close(explain(model, images, [1], method), expected)


@pytest.mark.parametrize("method", ["rollout", "cam", "lrp"])
def test_a_hybrid_refuses_another_grid_of_as_many_patches(method):
    """timm's hybrids take 48 x 48 pixels where their 36 positions are for 32 x 72."""
    model = create_model("vit_tiny_r_s8", 3, img_size=(32, 72)).eval()
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 3)
    with pytest.raises(ParameterError, match="positions are for images of 32 x 72 pixels, not of 48 x 48"):
        explain(model, torch.zeros(1, 3, 48, 48), [1], method)
    assert explain(model, torch.zeros(1, 3, 32, 72), [1], method).shape == (1, 4, 9)
    assert explain(model, torch.zeros(1, 3, 31, 70), [1], method).shape == (1, 4, 9)


@pytest.mark.parametrize("method", ["rollout", "cam", "transformer_attribution"])
def test_maps_lie_on_images_of_another_shape_with_as_many_patches(method):
    """Four patches beside one another are no square of two by two."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3, embed_dim=24, num_heads=2)
    model.eval().patch_embed.strict_img_size = False
    images = torch.randn(1, 3, 16, 64)
    flat = explain(model, images, [1], method)
    assert flat.shape == (1, 1, 4)
    folded = torch.cat(images.split(32, dim=-1), dim=-2)  # the same four patches in the same order
    torch.testing.assert_close(explain(model, folded, [1], method).flatten(), flat.flatten())
