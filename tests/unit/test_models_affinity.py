import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import ParameterError
from seedbed.models import create_model
from seedbed.models.affinitynet_hybrid import AffinityHead
from seedbed.models.affinitynet_multilevel import MultiLevelHead
from seedbed.models.pair_affinity import dense_affinity_matrix, pair_affinities, pair_offsets

torch.set_num_threads(1)


def test_offsets_of_radius_2_and_5():
    assert pair_offsets(2) == ((0, 1), (1, -1), (1, 0), (1, 1))
    assert len(pair_offsets(5)) == 34
    assert pair_offsets(5)[:6] == ((0, 1), (0, 2), (0, 3), (0, 4), (1, -4), (1, -3))
    assert pair_offsets(5)[-1] == (4, 2)
    assert len(set(pair_offsets(5))) == 34


def test_affinity_by_hand():
    features = torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.0, 7.0]])[:, None].repeat(1, 2, 1)[None]  # [1, 2, 2, 3]
    features[0, :, 1] += 1
    # One "from" pixel of radius 2: row 0, column 1, with features (1, 0).
    expected = [math.exp(-(2 + 7) / 2), math.exp(-(0 + 1) / 2), math.exp(-(1 + 1) / 2), math.exp(-(3 + 8) / 2)]
    torch.testing.assert_close(pair_affinities(features, 2)[0, :, 0], torch.tensor(expected))


@settings(max_examples=20, deadline=None)
@given(radius=st.integers(2, 5), extra=st.tuples(st.integers(0, 4), st.integers(0, 4)), seed=st.integers(0, 99))
def test_affinities_equal_a_loop_over_pairs(radius, extra, seed):
    torch.manual_seed(seed)
    height, width = radius + extra[0], 2 * radius - 1 + extra[1]
    f = torch.randn(2, 3, height, width)
    pairs = pair_affinities(f, radius)
    sources = [(y, x) for y in range(height - radius + 1) for x in range(radius - 1, width - radius + 1)]
    assert pairs.shape == (2, len(pair_offsets(radius)), len(sources))
    for k, (dy, dx) in enumerate(pair_offsets(radius)):
        expected = [(-(f[:, :, y, x] - f[:, :, y + dy, x + dx]).abs().mean(dim=1)).exp() for y, x in sources]
        torch.testing.assert_close(pairs[:, k], torch.stack(expected, dim=1))


def test_gradients_are_those_of_the_formula():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 6, 11, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pair_affinities, (features,))


def test_training_keeps_nothing_larger_than_the_features_and_the_affinities():
    features = torch.randn(1, 64, 20, 30, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        pairs = pair_affinities(features)
    assert kept
    assert max(kept) <= max(features.numel(), pairs.numel())
    assert sum(kept) < 2 * (features.numel() + pairs.numel())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_give_float32_affinities(dtype):
    torch.manual_seed(0)
    features = torch.randn(1, 64, 5, 9, dtype=dtype, requires_grad=True)
    pairs = pair_affinities(features)
    assert pairs.dtype == torch.float32
    torch.testing.assert_close(pairs, pair_affinities(features.float()), atol=1e-2, rtol=1e-2)
    pairs.sum().backward()
    assert features.grad.dtype == dtype


@pytest.mark.parametrize("size", [(4, 9), (5, 8)])
def test_too_small_maps_are_refused(size):
    with pytest.raises(ParameterError, match="at least 5 x 9"):
        pair_affinities(torch.zeros(1, 2, *size))


def test_dense_matrix_is_symmetric_with_unit_diagonal():
    torch.manual_seed(0)
    f = torch.rand(1, 2, 6, 10)
    matrix = dense_affinity_matrix(pair_affinities(f)[0], 6, 10)
    assert torch.equal(matrix, matrix.T)
    assert torch.equal(matrix.diagonal(), torch.ones(60))
    i, j = 1 * 10 + 5, 3 * 10 + 3  # offset (2, -2) from a "from" pixel
    torch.testing.assert_close(matrix[i, j], (-(f[0, :, 1, 5] - f[0, :, 3, 3]).abs().mean()).exp())
    assert matrix[0, 59] == 0


def test_affinitynet_features_by_formula():
    torch.manual_seed(0)
    model, images = create_model("affinitynet_resnet38_tiny").eval(), torch.randn(1, 3, 48, 80)
    output, taps = model(images), model.taps(images)
    parts = [F.elu(F.conv2d(tap, conv.weight)) for tap, conv in zip(taps, (model.f8_3, model.f8_4, model.f8_5))]  # noqa: B905
    features = F.elu(F.conv2d(torch.cat(parts, dim=1), model.f9.weight))
    torch.testing.assert_close(output.features, features)
    torch.testing.assert_close(output.pairs, pair_affinities(features))
    assert [p.shape[1] for p in parts] == [16, 16, 32]


def test_affinitynet_initialisation():
    torch.manual_seed(0)
    model = create_model("affinitynet_resnet38", width_divisor=8)
    bound = 4 * (6 / (56 + 56)) ** 0.5  # xavier uniform, gain 4
    assert 0.99 * bound < model.f9.weight.abs().max() <= bound
    assert model.f8_5.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.05)  # kaiming normal, fan in


def test_hybrid_head_by_formula():
    torch.manual_seed(0)
    head, x = AffinityHead(3, 8, norm_groups=4), torch.randn(2, 3, 4, 5)
    up = F.interpolate(x, size=(8, 10), mode="bilinear", align_corners=False)
    hidden = F.conv2d(up, head.feature_conv.weight).reshape(2, 4, -1)
    hidden = (hidden - hidden.mean(dim=2, keepdim=True)) / (hidden.var(dim=2, keepdim=True, correction=0) + 1e-5).sqrt()
    expected = F.elu(F.conv2d(F.elu(hidden.reshape(2, 8, 8, 10)), head.affinity_conv.weight))
    torch.testing.assert_close(head(x), expected, atol=1e-5, rtol=1e-5)


def test_hybrid_affinity_net_trains_its_whole_backbone_at_twice_the_cells():
    model = create_model("affinitynet_hybrid_tiny").train()
    output = model(torch.randn(1, 3, 96, 96))
    assert output.features.shape == (1, 64, 24, 24)
    output.pairs.sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in model.parameters())


def test_the_affinity_network_on_a_resnet_joins_its_last_three_stages_at_stride_8():
    torch.manual_seed(0)
    model = create_model("affinitynet_resnet50", architecture="resnet18", feature_widths=(4, 6, 8)).train()
    assert not model.backbone.bn1.training and model.affinity_conv.training
    images = torch.randn(2, 3, 64, 100)
    output = model(images)
    taps = model.backbone.forward_intermediates(images, indices=(2, 3, 4), intermediates_only=True)
    parts = [F.elu(conv(tap)) for conv, tap in zip(model.stage_convs, taps, strict=True)]
    expected = F.elu(model.affinity_conv(torch.cat(parts, 1)))
    assert expected.shape == (2, 18, 8, 13)
    torch.testing.assert_close(output.features, expected)
    torch.testing.assert_close(output.pairs, pair_affinities(expected, 5))
    scales = [len(group["params"]) for group in model.parameter_groups(0.1)]
    assert scales[2:] == [4, 0] and not any(p.requires_grad for p in model.backbone.bn1.parameters())


def test_an_affinity_network_needs_a_resnet_of_timm_s():
    for name in ("vit_tiny_patch16_224", "resnet1"):
        with pytest.raises(ParameterError, match=f"'{name}' is no ResNet of timm's"):
            create_model("affinitynet_resnet50", architecture=name)


def test_multi_level_head_by_formula():
    """Two levels, one twice as fine, joined at a size between them."""
    torch.manual_seed(0)
    head = MultiLevelHead([3, 2], level_width=4, width=6, norm_groups=2)
    levels, parts = [torch.randn(2, 3, 8, 12), torch.randn(2, 2, 4, 6)], []
    for k, level in enumerate(levels):
        resized = F.interpolate(level, size=(6, 10), mode="bilinear", align_corners=False)
        hidden = F.conv2d(resized, head.level_convs[k].weight).reshape(2, 2, -1)
        hidden = hidden - hidden.mean(dim=2, keepdim=True)
        hidden = hidden / (hidden.var(dim=2, keepdim=True, correction=0) + 1e-5).sqrt()
        parts.append(F.elu(hidden.reshape(2, 4, 6, 10)))
    expected = F.elu(F.conv2d(torch.cat(parts, 1), head.affinity_conv.weight))
    torch.testing.assert_close(head(levels, (6, 10)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("blocks", [(), (-1,), (0, 2)])
def test_levels_are_those_of_the_hybrid(blocks):
    """Its CNN's stages, and what timm gives for its blocks; all is trained."""
    torch.manual_seed(0)
    vit = create_model("vit_tiny_r_s8", 6).eval()
    model = create_model("affinitynet_multilevel_tiny", blocks=blocks).eval()
    own = vit.state_dict()
    if blocks:
        kept = model.vit.state_dict()
        model.vit.load_state_dict({name: own[name] for name in kept})
        assert len(model.vit.blocks) == max(number % 4 for number in blocks) + 1
    else:
        prefix = "patch_embed.backbone."
        model.backbone.load_state_dict({n.removeprefix(prefix): v for n, v in own.items() if n.startswith(prefix)})
    images = torch.randn(2, 3, 96, 96)
    backbone = vit.patch_embed.backbone
    first = backbone.stages[0](backbone.stem(images))
    tokens = vit.forward_intermediates(images, norm=True, intermediates_only=True)
    expected = [first, backbone(images), *(tokens[number] for number in blocks)]
    for level, wanted in zip(model.levels(images), expected, strict=True):
        torch.testing.assert_close(level, wanted)
    output = model.train()(images)
    assert output.features.shape == (2, 64, 24, 24)
    output.pairs.sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in model.parameters())
    torch.testing.assert_close(output.pairs, pair_affinities(output.features))


def test_levels_of_images_of_another_size():
    assert create_model("affinitynet_multilevel_tiny").eval()(torch.randn(1, 3, 64, 128)).features.shape[2:] == (16, 32)


def test_levels_that_are_not_there_are_refused():
    with pytest.raises(ParameterError, match="blocks: 4 is none of the hybrid's 4, 0 to 3 or -1 to -4"):
        create_model("affinitynet_multilevel_tiny", blocks=(4,))
    with pytest.raises(ParameterError, match="'vit_tiny_patch8_96' is no hybrid"):
        create_model("affinitynet_multilevel_tiny", hybrid="vit_tiny_patch8_96")
