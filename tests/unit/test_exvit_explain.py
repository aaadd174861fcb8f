"""What eX-ViT shows of its reasoning, through the one call ``explain``."""

import numpy as np
import pytest
import torch
from exvit_toys import emha_by_hand, pictures, small

from seedbed.errors import ParameterError, UserError
from seedbed.explain import explain, supports
from seedbed.explain.by_layer import maps_by_layer
from seedbed.explain.dataset_maps import picture_heatmaps
from seedbed.models import create_model
from seedbed.params.stages import Explainer

torch.set_num_threads(1)
TARGETS = torch.tensor([[0, 3, -1], [2, -1, -1]])
OURS = ("attribute_guided_map", "attribute_maps", "emha_attention", "cam")


def chosen(maps, targets=TARGETS):
    """Maps [B, C, h, w] of targets, one at a time; absent ones are zero."""
    result = torch.zeros(*targets.shape, *maps.shape[-2:], dtype=maps.dtype)
    for b, row in enumerate(targets.tolist()):
        for k, label in enumerate(row):
            if label >= 0:
                result[b, k] = maps[b, label]
    return result


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("fused_layers", [None, 1, 3])
def test_attribute_guided_maps_are_the_class_maps(relu, fused_layers):
    model, images = small(), pictures(24, 40)
    maps = model(images, full=True, fused_layers=fused_layers).class_maps.detach()
    found = explain(model, images, TARGETS, "attribute_guided_map", relu=relu, fused_layers=fused_layers)
    torch.testing.assert_close(found, chosen(maps.clamp(min=0) if relu else maps))
    assert found.shape == (2, 3, 3, 5)


def test_the_class_maps_mean_is_the_logit():
    model, images = small(), pictures(32, 32)
    maps = explain(model, images, [[0, 1, 2, 3]] * 2, "attribute_guided_map", relu=False)
    torch.testing.assert_close(maps.mean((2, 3)), model(images).detach())


@pytest.mark.parametrize("method", ["attribute_guided_map", "attribute_maps"])
def test_without_targets_the_predicted_class_is_explained(method):
    model, images = small(), pictures(32, 32)
    predicted = model(images).argmax(1)
    options = {"show": "contribution", "attribute": 1} if method == "attribute_maps" else {}
    expected = explain(model, images, predicted, method, **options)
    torch.testing.assert_close(explain(model, images, None, method, **options), expected)
    assert expected.shape == (2, 4, 4)


def test_contributions_of_attributes_add_up_to_the_class_map():
    model, images = small(), pictures(32, 24)
    parts = [
        explain(model, images, TARGETS, "attribute_maps", attribute=s, show="contribution", relu=False)
        for s in range(3)
    ]
    whole = explain(model, images, TARGETS, "attribute_guided_map", relu=False)
    torch.testing.assert_close(sum(parts), whole)
    assert all((part - whole).abs().max() > 1e-3 for part in parts)
    one_layer = {"show": "contribution", "fused_layers": 1, "relu": False}
    first = explain(model, images, TARGETS, "attribute_maps", attribute=0, **one_layer)
    assert not torch.allclose(first, parts[0])


@pytest.mark.parametrize("attribute", [0, 1, 2])
def test_weights_of_attributes(attribute):
    model, images = small(), pictures(32, 24)
    weights = model(images, full=True).attribute_weights.detach()[:, attribute]
    signed = explain(model, images, TARGETS, "attribute_maps", attribute=attribute, relu=False)
    torch.testing.assert_close(signed, chosen(weights.unsqueeze(1).expand(-1, 4, -1, -1)))
    torch.testing.assert_close(explain(model, images, TARGETS, "attribute_maps", attribute=attribute), signed.relu())


RULES = {
    "squared": lambda a: a**2,
    "absolute": lambda a: abs(a),
    "positive": lambda a: max(a, 0.0),
    "signed": lambda a: a,
}


@pytest.mark.parametrize("sign", RULES)
def test_emha_attention_is_the_mean_attention_a_patch_receives(sign):
    model, images = small(), pictures(16, 24, count=1)
    tokens = model.patch_embed(images).flatten(2).transpose(1, 2) + model.positions((2, 3))
    layers = []
    for block in model.blocks:
        attention = emha_by_hand(block.attn, block.norm1(tokens)[0])[1].tolist()  # heads x queries x keys
        entries = [[RULES[sign](row[key]) for head in attention for row in head] for key in range(6)]
        layers.append([sum(values) / len(values) for values in entries])
        tokens = block(tokens)
    for count, options in ((1, {"fused_layers": 1}), (2, {}), (3, {"fused_layers": 3})):
        expected = np.mean(layers[-count:], axis=0).reshape(2, 3)
        found = explain(model, images, [0], "emha_attention", sign=sign, **options)[0]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9)
    if sign == "squared":
        assert found.sum() == pytest.approx(1.0)  # as for a softmax


def test_softmax_attention_can_be_shown_for_comparison():
    model, images = small(attention="softmax"), pictures(32, 32)
    maps = explain(model, images, [0, 1], "emha_attention", sign="signed", fused_layers=1)
    attention = model(images, full=True, attention="heads").attention[-1].detach()
    torch.testing.assert_close(maps.flatten(1), attention.mean((1, 2)))


@pytest.mark.parametrize("num_attributes", [0, 3])
def test_cam_of_the_plain_head(num_attributes):
    model, images = small(head="cam", num_attributes=num_attributes), pictures(32, 32)
    for count in (None, 1, 3):
        output = model(images, full=True, fused_layers=count)
        found = explain(model, images, TARGETS, "cam", fused_layers=count)
        torch.testing.assert_close(found, chosen(output.class_maps.detach()))


def test_which_network_can_be_explained_how():
    guided, plain, bare = small(), small(head="cam"), small(head="cam", num_attributes=0)
    assert [supports(guided, method) for method in OURS] == [True, True, True, False]
    assert [supports(plain, method) for method in OURS] == [False, True, True, True]
    assert [supports(bare, method) for method in OURS] == [False, False, True, True]
    other = create_model("vit_tiny_patch8_96", 6)
    assert not any(supports(other, method) for method in OURS[:3])
    assert not any(supports(guided, method) for method in ("gradcam", "rollout", "raw_attention"))
    with pytest.raises(UserError, match="its head is 'cam', not 'attributes'"):
        explain(plain, pictures(32, 32), [0, 0], "attribute_guided_map")
    with pytest.raises(UserError, match="its head is 'attributes', not 'cam'"):
        explain(guided, pictures(32, 32), [0, 0], "cam")
    with pytest.raises(UserError, match="it is no eX-ViT"):
        explain(other, torch.zeros(1, 3, 96, 96), [0], "emha_attention")
    with pytest.raises(UserError, match="it has no attributes"):
        explain(bare, pictures(32, 32), [0, 0], "attribute_maps")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("attribute_maps", {"attribute": 3}, "attribute=3: the network has 3, numbered from 0"),
        ("attribute_maps", {"attribute": -1}, "attribute=-1"),
        ("attribute_maps", {"show": "wieght"}, "Did you mean 'weight'"),
        ("attribute_guided_map", {"fused_layers": 9}, "the encoder has 3 layers"),
        ("emha_attention", {"fused_layers": 0}, "fused_layers=0: the encoder has 3 layers"),
        ("emha_attention", {"sign": "square"}, "Did you mean 'squared'"),
        ("attribute_guided_map", {"layers": 1}, "Unknown option of 'attribute_guided_map' 'layers'"),
    ],
)
def test_mistakes_are_named(method, options, message):
    with pytest.raises(ParameterError, match=message):
        explain(small(), pictures(32, 32), [0, 1], method, **options)


def test_contributions_need_guided_class_maps():
    with pytest.raises(ParameterError, match="the network's head is 'cam'"):
        explain(small(head="cam"), pictures(32, 32), [0, 1], "attribute_maps", show="contribution")


def network_for(method):
    return small(head="cam" if method == "cam" else "attributes", drop_path_rate=0.5)


@pytest.mark.parametrize("method", OURS)
def test_the_network_is_left_as_it_was_and_explained_as_it_evaluates(method):
    model, images = network_for(method), pictures(32, 32)
    expected = explain(model, images, [0, 1], method)
    model.train()
    model.blocks[1].eval()
    flags = [module.training for module in model.modules()]
    torch.testing.assert_close(explain(model, images, [0, 1], method), expected)
    assert [module.training for module in model.modules()] == flags
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(explain(model, images, [0, 1], method), expected)


@pytest.mark.parametrize("method", OURS)
def test_maps_do_not_depend_on_batch_mates(method):
    model, images = network_for(method), pictures(24, 32, count=3)
    images[1] *= 40
    together = explain(model, images, [2, 0, 1], method)
    for position, label in enumerate((2, 0, 1)):
        alone = explain(model, images[position : position + 1], [label], method)
        torch.testing.assert_close(alone[0], together[position], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", OURS)
def test_half_precision_networks_are_explained(method):
    model, images = network_for(method), pictures(32, 32)
    exact = explain(model.float(), images.float(), [0, 1], method)
    rough = explain(model.bfloat16(), images.bfloat16(), [0, 1], method)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_maps_reach_the_store_with_scales_and_mirrors(shapes):
    """Views of several sizes and a fusion of the published recipes, as for the other papers."""
    torch.manual_seed(0)
    model = create_model("exvit_tiny", len(shapes.classes), img_size=48)
    settings = Explainer(
        method="attribute_guided_map", input={"size": [48, 48], "normalize": "imagenet"}, scales=[0.5, 1.0], flip=True,
        fusion="mctformer", background=0.4, sweep=True,
    )  # fmt: skip
    records = shapes.split("val")
    found = dict(picture_heatmaps(model, shapes, records, settings, torch.device("cpu")))
    for record in records:
        heat = found[record.image]
        assert tuple(heat.classes) == shapes.class_indices(record)
        assert heat.maps.shape == (len(heat.classes), 48, 48)
        assert np.isfinite(heat.maps).all()
        assert heat.maps.min() >= 0


@pytest.mark.parametrize("target", [4, -2])
def test_layer_by_layer_refuses_classes_that_the_network_lacks(target):
    with pytest.raises(ParameterError, match=f"no class {target}: the model has 4 classes"):
        maps_by_layer(small(), pictures(32, 32, count=1), torch.tensor([[0, target]]), "attribute_guided_map")
