"""eX-ViT against its equations, written out number by number."""

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from exvit_toys import pictures, small

from seedbed.errors import DataError, ParameterError
from seedbed.models import create_model, load_weights
from seedbed.models.exvit_attributes import AttributeExplainer, attribute_features
from seedbed.models.transformer import Attention

torch.set_num_threads(1)


def test_a_layer_is_equation_6():
    model = small()
    block, x = model.blocks[0], torch.randn(2, 5, 12, dtype=torch.float64)
    middle = block.attn(block.norm1(x)) + x
    hidden = F.gelu(F.linear(block.norm2(middle), block.mlp.fc1.weight, block.mlp.fc1.bias))
    torch.testing.assert_close(block(x), F.linear(hidden, block.mlp.fc2.weight, block.mlp.fc2.bias) + middle)


@torch.no_grad()
def atte_by_hand(module: AttributeExplainer, features: torch.Tensor) -> torch.Tensor:
    """Equations 7 and 8 and the mean over each group's channels, for one image [d, h, w]: W [S, h, w]."""
    first, norm, _, last = module.mlp
    _, height, width = features.shape
    weights = torch.zeros(module.count, height, width, dtype=features.dtype)
    for i in range(height):
        for j in range(width):
            hidden = first.weight @ features[:, i, j] + first.bias
            hidden = (hidden - hidden.mean()) / torch.sqrt(hidden.var(unbiased=False) + norm.eps)
            hidden = torch.clamp(hidden * norm.weight + norm.bias, min=0)
            embedding = last.weight @ hidden + last.bias  # 7
            embedding = embedding / math.sqrt(sum(float(value) ** 2 for value in embedding))  # 8
            size = len(embedding) // module.count
            for s in range(module.count):
                weights[s, i, j] = embedding[s * size : (s + 1) * size].sum() / size
    return weights


def test_the_network_equals_equations_7_to_11():
    model, images = small(), pictures(24, 40)
    output = model(images, full=True)
    assert output.class_maps.shape == (2, 4, 3, 5)
    layers = []
    tokens = model.patch_embed(images).flatten(2).transpose(1, 2) + model.positions((3, 5))
    for block in model.blocks:
        tokens = block(tokens)
        layers.append(tokens.transpose(1, 2).unflatten(2, (3, 5)))
    torch.testing.assert_close(output.features, layers[-1])
    torch.testing.assert_close(output.fused, (layers[1] + layers[2]) / 2)  # 10, K = 2
    given = output.attribute_features()
    for image in range(2):
        weights = atte_by_hand(model.attributes, layers[-1][image])
        torch.testing.assert_close(output.attribute_weights[image], weights)
        attributes = [weights[s] * layers[-1][image] for s in range(3)]  # 9
        torch.testing.assert_close(given[image], torch.stack(attributes))
        guided = torch.cat([output.fused[image] * attribute for attribute in attributes])  # 11
        maps = torch.einsum("ck,khw->chw", model.head.weight[:, :, 0, 0], guided)
        torch.testing.assert_close(output.class_maps[image], maps)
        torch.testing.assert_close(output.logits[image], maps.mean(dim=(1, 2)))
    assert torch.equal(model(images), output.logits)


def test_contributions_of_the_attributes_add_up():
    model, images = small(), pictures(32, 32)
    output, encoded = model(images, full=True), model.encode(images)
    parts = model.contributions(encoded, model.attributes(encoded.last))
    torch.testing.assert_close(parts.sum(dim=-1).transpose(1, 2).unflatten(2, (4, 4)), output.class_maps)
    alone = F.conv2d(
        output.fused * output.attribute_features()[:, 1], model.head.weight[:, 12:24]
    )  # the channels of attribute 1
    torch.testing.assert_close(parts[..., 1].transpose(1, 2).unflatten(2, (4, 4)), alone)


@pytest.mark.parametrize(
    ("pooling", "rule"),
    [("mean", lambda g: g.mean(2)), ("max", lambda g: g.max(2).values), ("norm", lambda g: g.square().sum(2).sqrt())],
)
def test_poolings_of_an_attributes_channels(pooling, rule):
    torch.manual_seed(0)
    module, features = AttributeExplainer(5, 8, 4, pooling).double(), torch.randn(1, 6, 5, dtype=torch.float64)
    embedding = module.mlp(features)[0]
    unit = embedding / embedding.norm(dim=1, keepdim=True)
    torch.testing.assert_close(module(features)[0], rule(unit.reshape(6, 4, 2)))


def test_the_plain_head_is_a_class_activation_map_of_the_fused_features():
    model, images = small(head="cam", num_attributes=0), pictures(32, 32)
    output = model(images, full=True)
    assert output.attribute_weights is None
    torch.testing.assert_close(output.class_maps, F.conv2d(output.fused, model.head.weight))
    torch.testing.assert_close(output.logits, output.class_maps.mean((2, 3)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_layers_that_are_fused_can_be_chosen_at_a_call(count):
    images = pictures(32, 32)
    own = small(fused_layers=count)(images, full=True)
    other = small(fused_layers=2)(images, full=True, fused_layers=count)
    torch.testing.assert_close(own, other)


def test_the_last_norm_reaches_every_fused_layer():
    model, images = small(feature_norm=True), pictures(32, 32)
    encoded = model.encode(images)
    plain = small(feature_norm=False)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("norm.")})
    raw = plain.encode(images)
    before_last = 2 * raw.fused - raw.last
    torch.testing.assert_close(encoded.last, model.norm(raw.last))
    torch.testing.assert_close(encoded.fused, (model.norm(raw.last) + model.norm(before_last)) / 2)


def test_softmax_attention_is_a_switch():
    model = small(attention="softmax")
    assert all(type(block.attn) is Attention for block in model.blocks)
    attention = model(pictures(32, 32), full=True, attention="heads").attention
    assert len(attention) == 3
    torch.testing.assert_close(attention[0].sum(-1), torch.ones_like(attention[0][..., 0]))


@pytest.mark.parametrize("size", [(32, 32), (24, 48), (37, 21)])
def test_an_images_maps_do_not_depend_on_its_batch_mates(size):
    model = small()
    images = pictures(*size, count=3)
    images[1] *= 50
    together = model(images, full=True)
    for position in range(3):
        alone = model(images[position : position + 1], full=True)
        for one, all_of_them in zip(alone[:5], together[:5], strict=True):
            torch.testing.assert_close(one[0], all_of_them[position], rtol=1e-9, atol=1e-12)


def test_positions_are_resampled_to_other_grids():
    model = small()
    assert model.positions((4, 4)) is model.pos_embed
    with torch.no_grad():
        model.pos_embed.copy_(torch.arange(12.0).expand(1, 16, 12))  # the same at every place
    torch.testing.assert_close(model.positions((3, 7)), torch.arange(12.0).double().expand(1, 21, 12))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_class_maps_survive_large_activations(dtype):
    """Features of 3000: their product is beyond float16. The loss is scaled down, as a gradient scaler would do."""
    model = small().float()
    with torch.no_grad():
        model.blocks[-1].mlp.fc2.bias.fill_(3e3)
    images = pictures(32, 32).float().requires_grad_()
    with torch.autocast("cpu", dtype):
        output = model(images, full=True)
    (1e-6 * output.logits).sum().backward()
    assert output.class_maps.abs().max() > 1e5
    assert all(x.isfinite().all() for x in output[:5])
    assert images.grad.isfinite().all()


@pytest.mark.parametrize("name, low, high", [("exvit_small", 21.5e6, 22.1e6), ("exvit_tiny", 3.9e5, 4.3e5)])
def test_sizes(name, low, high):
    with torch.device("meta"):
        model = create_model(name, 20)
    assert low < sum(p.numel() for p in model.parameters()) < high


def test_sizes_by_hand():
    """DeiT-S's blocks of 1,774,464 and patch embedding, 196 positions of 384, 6 b a block, AttE and the head."""
    with torch.device("meta"):
        model = create_model("exvit_small", 20)
        deit = timm.create_model("deit_small_patch16_224")
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(deit.blocks) == 12 * 1_774_464
    assert count(model.attributes) == (384 * 256 + 256) + 2 * 256 + (256 * 256 + 256)
    assert count(model.head) == 20 * 8 * 384
    encoder = count(deit.blocks) + 12 * 6 + count(deit.patch_embed) + 196 * 384
    assert count(model) == encoder + count(model.attributes) + count(model.head)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"attention": "emhaa"}, "Did you mean 'emha'"),
        ({"head": "cams"}, "Did you mean 'cam'"),
        ({"pooling": "meen"}, "Did you mean 'mean'"),
        ({"num_attributes": 5}, "5 attributes do not divide a hidden width of 6"),
        ({"num_attributes": 0}, "set head='cam'"),
        ({"fused_layers": 4}, "fused_layers=4: the encoder has 3 layers"),
        ({"fused_layers": 0}, "fused_layers=0"),
        ({"num_heads": 5}, "12 cannot be split over 5 heads"),
    ],
)
def test_mistakes_are_named(overrides, message):
    with pytest.raises(ParameterError, match=message):
        small(**overrides)


def test_an_image_needs_a_patch():
    with pytest.raises(ParameterError, match="7 x 40 is smaller than a patch of 8"):
        small()(pictures(7, 40))


def deit(**overrides) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    model = timm.create_model("deit_small_patch16_224", num_classes=3, **overrides)
    return {name: torch.randn_like(tensor) for name, tensor in model.state_dict().items()}


def test_deit_s_fills_the_encoder():
    tensors, model = deit(depth=2), create_model("exvit_small", 20, depth=2, fused_layers=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = load_weights(model, tensors, layout="exvit_deit")
    own = model.state_dict()
    kept = {"attributes", "head"} | {f"blocks.{k}.attn.alignment" for k in range(2)}
    for name, tensor in own.items():
        if name == "pos_embed":
            assert torch.equal(tensor, tensors["pos_embed"][:, 1:])
        elif name in kept or name.split(".")[0] in kept:
            assert torch.equal(tensor, before[name])
            assert name in report.fresh
        else:
            assert torch.equal(tensor, tensors[name]), name
    assert report.dropped == ["cls_token", "head.bias", "head.weight", "norm.bias", "norm.weight"]


def test_deit_s_fills_the_last_norm_where_there_is_one():
    tensors, model = deit(depth=2), create_model("exvit_small", 20, depth=2, fused_layers=2, feature_norm=True)
    report = load_weights(model, tensors, layout="exvit_deit")
    assert torch.equal(model.norm.weight, tensors["norm.weight"])
    assert "norm.weight" in report.loaded


def test_deit_s_can_be_scaled_to_rows_of_unit_length():
    """Uniform attention: a softmax averages N values, E-MHA adds them up over √N, so √N divides what comes after."""
    tensors = deit(depth=1)
    models = [create_model("exvit_small", 20, depth=1, fused_layers=1, alignment=1.0) for _ in range(2)]
    softmax = create_model("exvit_small", 20, depth=1, fused_layers=1, attention="softmax")
    tensors["blocks.0.attn.qkv.weight"][:384] = 0  # no queries: every score is b
    tensors["blocks.0.attn.qkv.bias"][:384] = 0
    tensors["blocks.0.attn.proj.bias"][:] = 0
    for model, layout in zip((*models, softmax), ("exvit_deit_scaled", "exvit_deit", "exvit_deit"), strict=True):
        load_weights(model, tensors, layout=layout)
    x = torch.randn(1, 196, 384)
    scaled, plain, wanted = (model.blocks[0].attn(x).detach() for model in (*models, softmax))
    torch.testing.assert_close(scaled, wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(plain, 14 * wanted, rtol=1e-3, atol=1e-2)
    assert torch.equal(models[0].blocks[0].mlp.fc1.weight, tensors["blocks.0.mlp.fc1.weight"])
    with pytest.raises(ParameterError, match="softmax attention takes 'exvit_deit'"):
        load_weights(softmax, tensors, layout="exvit_deit_scaled")


def test_positions_of_deit_s_are_resized():
    tensors, model = deit(depth=1), create_model("exvit_small", 20, depth=1, fused_layers=1, img_size=384)
    load_weights(model, tensors, layout="exvit_deit")
    table = tensors["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (14, 14))
    expected = F.interpolate(table, (24, 24), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.pos_embed.detach(), expected)


def test_the_shipped_vit_of_the_demo_fits_the_small_network():
    torch.manual_seed(0)
    state = create_model("vit_tiny_patch8_96", 6).state_dict()
    model = create_model("exvit_tiny", 6)
    load_weights(model, state, layout="exvit_deit")
    assert torch.equal(model.blocks[3].mlp.fc2.weight, state["blocks.3.mlp.fc2.weight"])


def test_other_weights_are_refused():
    with pytest.raises(ParameterError, match="fills an ExViT, not a VisionTransformer"):
        load_weights(create_model("vit_tiny_patch8_96", 6), deit(depth=1), layout="exvit_deit")
    with pytest.raises(DataError, match="lack cls_token, pos_embed"):
        load_weights(create_model("exvit_tiny", 6), {}, layout="exvit_deit")
    with pytest.raises(DataError, match="missing"):
        load_weights(create_model("exvit_small", 6), deit(depth=2), layout="exvit_deit")


def test_attribute_features_by_hand():
    weights, features = torch.tensor([[[[2.0]], [[-1.0]]]]), torch.tensor([[[[3.0]], [[5.0]], [[7.0]]]])
    assert attribute_features(weights, features).flatten().tolist() == [6, 10, 14, -3, -5, -7]
