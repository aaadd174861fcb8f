"""Pretrained classifiers for other classes, sizes, shapes of grids and tokens: what stays, moves or starts afresh."""

import pytest
import timm
import torch
import torch.nn.functional as F
from test_weights_layouts import MCT, deit, distinct, state_of

from seedbed.errors import DataError, ParameterError
from seedbed.models import create_model, load_weights
from seedbed.models.weights.positions import grid_of

VIT = {"patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 3}
LAYOUT = {"layout": "pretrained_classifier"}


def vit(classes=5, name="vit_tiny_patch16_224", **options):
    return create_model(name, classes, **{"img_size": 32, **VIT, **options})


def resampled(patches, source, target):
    """Positions [1, N, D] on another grid, bicubically with antialiasing: timm's way, written out."""
    grid = patches.reshape(1, *source, -1).permute(0, 3, 1, 2)
    moved = F.interpolate(grid, target, mode="bicubic", antialias=True)
    return moved.permute(0, 2, 3, 1).reshape(1, target[0] * target[1], -1)


@pytest.mark.parametrize("classes", [1, 4, 20])
def test_an_mctformer_of_other_classes_keeps_its_patches_positions(classes):
    source, model = create_model("mctformerv2_tiny", 6, **MCT), create_model("mctformerv2_tiny", classes, **MCT)
    given, before = distinct(state_of(source)), state_of(model)
    result = load_weights(model, given, **LAYOUT)
    after = model.state_dict()
    for name in ("cls_token", "head.weight", "head.bias"):
        assert torch.equal(after[name], before[name]), name
    assert torch.equal(after["pos_embed"][:, :classes], before["pos_embed"][:, :classes])
    assert torch.equal(after["pos_embed"][:, classes:], given["pos_embed"][:, 6:])
    assert torch.equal(after["blocks.1.mlp.fc1.weight"], given["blocks.1.mlp.fc1.weight"])
    assert result.fresh == ["cls_token", "head.bias", "head.weight"]


def test_an_mctformer_of_another_size_keeps_its_classes():
    source = create_model("mctformerv2_tiny", 3, **MCT)
    model = create_model("mctformerv2_tiny", 3, **{**MCT, "img_size": 48})
    given = distinct(state_of(source))
    assert load_weights(model, given, **LAYOUT).fresh == []
    assert torch.equal(model.cls_token, given["cls_token"])
    assert torch.equal(model.pos_embed[:, :3], given["pos_embed"][:, :3])
    torch.testing.assert_close(model.pos_embed[:, 3:].detach(), resampled(given["pos_embed"][:, 3:], (4, 4), (6, 6)))


@pytest.mark.parametrize("size", [32, 48])
def test_mctformer_plus_has_its_positions_apart(size):
    source, model = (create_model("mctformer_plus_small", c, **{**MCT, "img_size": s}) for c, s in ((3, 32), (7, size)))
    given, before = distinct(state_of(source)), state_of(model)
    load_weights(model, given, **LAYOUT)
    assert torch.equal(model.pos_embed_cls, before["pos_embed_cls"])
    expected = resampled(given["pos_embed_pat"], (4, 4), (size // 8,) * 2)
    torch.testing.assert_close(model.pos_embed_pat.detach(), expected)
    assert torch.equal(model.pos_embed, given["pos_embed"])


def test_an_exvit_of_other_classes_and_size():
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 3, "fused_layers": 1}
    source, model = (create_model("exvit_tiny", c, **{**small, "img_size": s}) for c, s in ((3, 32), (5, 48)))
    given = distinct(state_of(source))
    assert load_weights(model, given, **LAYOUT).fresh == ["head.weight"]
    torch.testing.assert_close(model.pos_embed.detach(), resampled(given["pos_embed"], (4, 4), (6, 6)))


def test_a_square_source_for_a_rectangle_of_as_many_patches_is_resampled():
    source, model = vit(3, img_size=48), vit(5, img_size=(32, 72))  # 6 x 6 and 4 x 9
    given = distinct(state_of(source))
    load_weights(model, given, **LAYOUT)
    assert torch.equal(model.pos_embed[:, :1], given["pos_embed"][:, :1])
    torch.testing.assert_close(model.pos_embed[:, 1:].detach(), resampled(given["pos_embed"][:, 1:], (6, 6), (4, 9)))


def smooth(rows, columns, width=16):
    """Positions whose neighbours are alike, as trained ones are: [1, rows * columns, width]."""
    torch.manual_seed(2)
    return F.interpolate(torch.randn(1, width, 3, 3), (rows, columns), mode="bicubic").flatten(2).transpose(1, 2)


@pytest.mark.parametrize("target", [(6, 6), (9, 4)])
def test_a_trained_rectangle_is_not_taken_for_a_square(target):
    with pytest.raises(DataError, match=r"look like a grid of 4 x 9.*grid: \[rows, columns\]"):
        grid_of(smooth(4, 9), target)
    assert grid_of(smooth(4, 9), target, [4, 9]) == (4, 9)


def test_a_trained_rectangle_fits_its_own_grid():
    assert grid_of(smooth(4, 9), (4, 9)) == (4, 9)
    assert grid_of(smooth(6, 6), (4, 9)) == (6, 6)
    assert grid_of(smooth(4, 8), (4, 8)) == (4, 8)


def test_no_square_is_refused_with_the_remedy():
    given = distinct(state_of(vit(3, img_size=(32, 40))))
    with pytest.raises(DataError, match=r"20 patch positions do not form a square.*grid: \[rows, columns\]"):
        load_weights(vit(), given, **LAYOUT)
    model = vit()
    load_weights(model, given, **LAYOUT, grid=[4, 5])
    torch.testing.assert_close(model.pos_embed[:, 1:].detach(), resampled(given["pos_embed"][:, 1:], (4, 5), (4, 4)))
    with pytest.raises(ParameterError, match=r"grid: \[5, 5\] does not hold the source's 20"):
        load_weights(vit(), given, **LAYOUT, grid=[5, 5])
    with pytest.raises(ParameterError, match="'native' moves no positions"):
        load_weights(vit(), given, grid=[4, 5])


def test_no_square_starts_the_same_rectangle():
    model, given = vit(5, img_size=(32, 40)), distinct(state_of(vit(3, img_size=(32, 40))))
    load_weights(model, given, **LAYOUT)
    assert torch.equal(model.pos_embed, given["pos_embed"])


def test_tables_of_another_network_are_listed_as_misfits():
    for options in ({"embed_dim": 24}, {"embed_dim": 24, "img_size": 48}):
        with pytest.raises(DataError, match=r"of another shape: .*pos_embed is \(1, \d+, 24\), not \(1, 17, 12\)"):
            load_weights(vit(), distinct(state_of(vit(3, **options))), **LAYOUT)
    given = distinct(state_of(vit(3)))
    with pytest.raises(DataError, match=r"pos_embed is \(1, 1, 12\), not \(1, 17, 12\)"):
        load_weights(vit(), {**given, "pos_embed": given["pos_embed"][:, :1]}, **LAYOUT)


def test_a_distilled_network_starts_a_plain_one():
    source = vit(3, "deit_tiny_distilled_patch16_224", img_size=48)
    model, given = vit(), distinct(state_of(source))
    result = load_weights(model, given, **LAYOUT)
    assert torch.equal(model.cls_token, given["cls_token"])
    assert torch.equal(model.pos_embed[:, 0], given["pos_embed"][:, 0])
    torch.testing.assert_close(model.pos_embed[:, 1:].detach(), resampled(given["pos_embed"][:, 2:], (6, 6), (4, 4)))
    assert {"dist_token", "head_dist.weight", "head.bias"} < set(result.dropped)
    assert result.fresh == ["head.bias", "head.weight"]


def test_a_plain_network_starts_a_distilled_one():
    model = vit(5, "deit_tiny_distilled_patch16_224")
    given, before = distinct(state_of(vit(5))), state_of(model)
    result = load_weights(model, given, **LAYOUT)
    assert torch.equal(model.head.weight, given["head.weight"])
    assert torch.equal(model.pos_embed[:, 0], given["pos_embed"][:, 0])
    assert torch.equal(model.pos_embed[:, 1], before["pos_embed"][:, 1])
    assert torch.equal(model.pos_embed[:, 2:], given["pos_embed"][:, 1:])
    assert result.fresh == ["dist_token", "head_dist.bias", "head_dist.weight"]


def test_both_heads_of_a_distilled_network_start_afresh():
    model = vit(5, "deit_tiny_distilled_patch16_224")
    given = distinct(state_of(vit(3, "deit_tiny_distilled_patch16_224")))
    assert {"head.weight", "head_dist.weight"} <= set(load_weights(model, given, **LAYOUT).fresh)
    assert torch.equal(model.pos_embed, given["pos_embed"])


@pytest.mark.parametrize(
    "options", [{"reg_tokens": 2}, {"no_embed_class": True}, {"reg_tokens": 2, "no_embed_class": True}]
)
def test_registers_and_patches_alone(options):
    source, model = vit(3, img_size=48, **options), vit(**options)
    given = distinct(state_of(source))
    load_weights(model, given, **LAYOUT)
    prefix = 0 if "no_embed_class" in options else 3
    assert torch.equal(model.pos_embed[:, :prefix], given["pos_embed"][:, :prefix])
    expected = resampled(given["pos_embed"][:, prefix:], (6, 6), (4, 4))
    torch.testing.assert_close(model.pos_embed[:, prefix:].detach(), expected)


@pytest.mark.parametrize("network", ["mctformerv2_tiny", "exvit_tiny"])
def test_a_distilled_deit_starts_our_networks(network):
    plain = deit()
    given = {**plain, "dist_token": torch.randn(1, 1, 12), "head_dist.weight": torch.randn(9, 12)}
    first, rest = plain["pos_embed"].split([1, 16], dim=1)
    given["pos_embed"] = torch.cat([first, torch.full((1, 1, 12), 9.0), rest], dim=1)
    layout, more = ("exvit_deit", {"fused_layers": 1}) if network == "exvit_tiny" else ("mctformer_deit", {})
    size = {**MCT, "mlp_ratio": 3.0, **more}
    torch.manual_seed(0)
    one, other = create_model(network, 2, **size), create_model(network, 2, **size)
    load_weights(one, plain, layout=layout)
    result = load_weights(other, given, layout=layout)
    assert {"dist_token", "head_dist.weight"} <= set(result.dropped)
    for name in result.loaded:
        assert torch.equal(one.state_dict()[name], other.state_dict()[name]), name


@pytest.mark.parametrize(("network", "layout"), [("mctformerv2_tiny", "mctformer_deit"), ("exvit_tiny", "exvit_deit")])
def test_a_rectangular_deit_starts_our_networks_by_its_own_grid(network, layout):
    more = {"fused_layers": 1} if network == "exvit_tiny" else {}
    model, given = create_model(network, 2, **{**MCT, "mlp_ratio": 3.0, **more}), deit()
    given["pos_embed"] = torch.randn(1, 1 + 4 * 9, 12)
    load_weights(model, given, layout=layout, grid=[4, 9])
    table = given["pos_embed"][0, 1:].T.reshape(1, 12, 4, 9)
    expected = F.interpolate(table, size=(4, 4), mode="bicubic", align_corners=False)[0].flatten(1).T
    torch.testing.assert_close(model.pos_embed[0, -16:].detach(), expected)


@pytest.mark.parametrize("size", [[32, 64], 4, "32"])
def test_the_size_of_a_square_table_is_one_number(size):
    for name in ("mctformerv2_tiny", "mctformer_plus_small", "exvit_tiny"):
        with pytest.raises(ParameterError, match=r"img_size=.*one whole number"):
            create_model(name, 3, img_size=size, patch_size=8)


def test_another_of_timms_networks_at_another_size():
    options = {"embed_dim": 16, "depths": (1, 1), "num_heads": (1, 1)}
    source = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, img_size=56, window_size=7, **options)
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=4, img_size=64, window_size=8, **options)
    given, before = distinct(state_of(source)), state_of(model)
    result = load_weights(model, given, **LAYOUT)
    assert result.fresh == ["head.fc.bias", "head.fc.weight"]
    name = "layers.0.blocks.0.attn.relative_position_bias_table"
    assert given[name].shape == (13 * 13, 1) and before[name].shape == (15 * 15, 1)
    assert (state_of(model)[name] - before[name]).abs().mean() > 0.5
    assert torch.equal(model.patch_embed.proj.weight, given["patch_embed.proj.weight"])
