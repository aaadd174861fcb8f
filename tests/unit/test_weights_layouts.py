"""Layouts: every tensor of every published naming lands where it belongs."""

import re

import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import DataError, ParameterError
from seedbed.models import create_model, load_weights
from seedbed.models.weights.layouts import conformer_name, resnet38_name

torch.set_num_threads(1)
MCT = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3}


def distinct(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same names and shapes, every tensor filled with other numbers."""
    torch.manual_seed(5)
    return {k: torch.randn(t.shape) if t.is_floating_point() else torch.full_like(t, 9) for k, t in state.items()}


def state_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: t.clone() for key, t in model.state_dict().items()}


def assert_loaded(model: torch.nn.Module, expected: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> None:
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[key] if key in expected else before[key]), key


MXNET_STATISTICS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}


def mxnet_name(name: str) -> str:
    """The published archive's name of one of our ResNet38 tensors, by the rules of its description."""
    if name == "conv1a.weight":
        return "arg:conv1a_weight"
    module, statistic = name.rsplit(".", 1)
    aux = "aux:" if statistic.startswith("running") else "arg:"
    statistic = MXNET_STATISTICS[statistic]
    if module == "bn7":
        return f"{aux}bn7_{statistic}"
    block, layer = module.split(".")
    level = block[1] + (f"b{block[3:]}" if "_" in block else "a")
    kind, branch = layer.split("_", 1)
    return f"arg:res{level}_{branch}_weight" if kind == "conv" else f"{aux}bn{level}_{branch}_{statistic}"


def test_every_name_of_resnet38_in_the_imagenet_archive():
    with torch.device("meta"):
        names = [key for key in create_model("resnet38", 20).state_dict() if not key.endswith("num_batches_tracked")]
    names.remove("fc8.weight")
    assert len(names) == 191
    theirs = [mxnet_name(name) for name in names]
    assert len(set(theirs)) == 191
    assert [resnet38_name(name) for name in theirs] == names
    assert {"arg:res4b5_branch2b1_weight", "aux:bn7a_branch2b2_moving_var", "arg:bn2b1_branch2a_beta"} <= set(theirs)


@pytest.mark.parametrize(
    "name",
    ["conv1a_weight", "arg:res2a_branch2a_gamma", "aux:bn7_gamma", "arg:bn2c_branch2a_beta", "arg:fc_weight", ""],
)
def test_foreign_names_are_refused(name):
    with pytest.raises(DataError, match="ResNet38"):
        resnet38_name(name)


@pytest.mark.parametrize(
    ("source", "target", "prefix"),
    [
        ("resnet38", "affinitynet_resnet38", ""),
        ("affinitynet_resnet38", "deeplab_v1_resnet38", "backbone."),
        ("deeplab_v1_resnet38", "deeplab_v1_resnet38_mctformer", ""),
        ("resnet38", "deeplab_v2_resnet38", "backbone."),
    ],
)
def test_every_tensor_of_one_network_s_resnet38_starts_another(source, target, prefix):
    first, second = (create_model(name, 7, width_divisor=64) for name in (source, target))
    given, before = distinct(state_of(first)), state_of(second)
    named = {prefix + key.removeprefix("backbone."): t for key, t in given.items()}
    shared = {key: t for key, t in named.items() if key in before and not key.startswith("f")}
    result = load_weights(second, given, layout="resnet38_backbone")
    assert len(result.loaded) == 191 + 37  # the counters of 37 batch norms
    assert set(result.loaded) == set(shared)
    assert set(result.dropped) == {key for key in given if key.startswith(first.new_layers)}
    assert_loaded(second, shared, before)


@pytest.mark.parametrize(
    "name", ["resnet38", "affinitynet_resnet38", "mctformerv2_small", "mctformer_plus_small", "conformer_small"]
)
def test_published_checkpoints_under_our_own_names(name, tmp_path):
    """Saved from several GPUs and nested, as training scripts do."""
    narrow = {
        "mctformerv2_small": MCT,
        "mctformer_plus_small": MCT,
        "conformer_small": {"width": 8, "embed_dim": 12, "depth": 3, "num_heads": 3},
    }.get(name, {"width_divisor": 64})
    model = create_model(name, 21, **narrow)
    state = distinct(state_of(model))
    torch.save({"model": {f"module.{key}": t for key, t in state.items()}}, tmp_path / "a.pth")
    result = load_weights(model, tmp_path / "a.pth")
    assert set(result.loaded) == set(state)
    assert (result.dropped, result.fresh) == ([], [])
    assert_loaded(model, state, {})


def deit(**overrides) -> dict[str, torch.Tensor]:
    size = {**MCT, "mlp_ratio": 3.0, **overrides}
    return distinct(state_of(create_model("vit_tiny_patch8_96", 1000, **size)))


def test_every_tensor_of_deit_starts_mctformer():
    model, given = create_model("mctformerv2_tiny", 5, **MCT), deit()
    before = state_of(model)
    result = load_weights(model, given, layout="mctformer_deit")
    expected = {key: t for key, t in given.items() if not key.startswith("head.")}
    expected["cls_token"] = given["cls_token"][:, [0] * 5]
    expected["pos_embed"] = given["pos_embed"][:, [0] * 5 + list(range(1, 17))]
    assert_loaded(model, expected, before)
    assert result.dropped == ["head.bias", "head.weight"]
    assert result.fresh == ["head.bias", "head.weight"]
    assert set(result.loaded) | set(result.fresh) == set(before)


def test_full_size_deit_has_mctformer_s_names():
    with torch.device("meta"):
        theirs, ours = create_model("deit_small_patch16_224.fb_in1k"), create_model("mctformerv2_small", 20)
    result = load_weights(ours, theirs.state_dict(), layout="mctformer_deit")
    assert len(result.loaded) == 150


def test_positions_on_another_grid_are_resized_bicubically():
    model, given = create_model("mctformerv2_tiny", 5, **MCT), deit(img_size=48)
    load_weights(model, given, layout="mctformer_deit")
    table = given["pos_embed"][0, 1:].T.reshape(1, 12, 6, 6)
    expected = F.interpolate(table, size=(4, 4), mode="bicubic", align_corners=False)[0].flatten(1).T
    torch.testing.assert_close(model.pos_embed[0, 5:].detach(), expected)
    assert torch.equal(model.pos_embed[0, :5], given["pos_embed"][0, :1].expand(5, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {**s, "dist_token": torch.zeros(1, 1, 12)}, "15 patch positions"),
        (lambda s: {k: t for k, t in s.items() if k != "pos_embed"}, "lack pos_embed"),
        (lambda s: {**s, "pos_embed": s["pos_embed"][:, :-1]}, "15 patch positions"),
        (lambda s: {k: t for k, t in s.items() if k != "norm.bias"}, r"1 missing: norm\.bias"),
    ],
)
def test_what_is_no_deit_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        load_weights(create_model("mctformerv2_tiny", 5, **MCT), change(deit()), layout="mctformer_deit")


def test_deit_fills_only_an_mctformer():
    with pytest.raises(ParameterError, match="MCTformer"):
        load_weights(create_model("resnet38_tiny", 3), {}, layout="mctformer_deit")


def imagenet_conformer(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A published ImageNet checkpoint has the same body, but linear heads for 1000 classes."""
    state = {key: t for key, t in distinct(state_of(model)).items() if "cls_head" not in key}
    for head, width in (("conv_cls_head", 32), ("trans_cls_head", 12)):
        state |= {f"{head}.weight": torch.randn(1000, width), f"{head}.bias": torch.randn(1000)}
    return state


def mmpretrain_name(name: str) -> str:
    """OpenMMLab's name of one of our Conformer tensors."""
    if "cls_head" in name:
        return f"head.{name}"
    for ours, theirs in ((".norm1.", ".ln1."), (".norm2.", ".ln2."), ("mlp.fc1", "ffn.layers.0.0")):
        name = name.replace(ours, theirs)
    return f"backbone.{name.replace('mlp.fc2', 'ffn.layers.1')}"


@pytest.mark.parametrize("layout", ["conformer_imagenet", "conformer_mmpretrain"])
def test_every_tensor_of_conformer(layout):
    model = create_model("conformer_small", 21, width=8, embed_dim=12, depth=3, num_heads=3)
    given, before = imagenet_conformer(model), state_of(model)
    named = {mmpretrain_name(key): t for key, t in given.items()} if "mm" in layout else given
    result = load_weights(model, named, layout=layout)
    expected = {key: t for key, t in given.items() if "cls_head" not in key}
    assert_loaded(model, expected, before)
    assert set(result.loaded) == set(expected)
    assert len(result.dropped) == len(result.fresh) == 4


def test_every_name_of_full_size_conformer():
    with torch.device("meta"):
        names = list(create_model("conformer_small", 21).state_dict())
    assert len(names) == 463 + 255
    body = [name for name in names if "cls_head" not in name]
    theirs = [mmpretrain_name(name) for name in body]
    assert len(set(theirs)) == len(body)
    assert [conformer_name(name) for name in theirs] == body
    assert sum(bool(re.search(r"\.ln[12]\.|\.ffn\.", name)) for name in theirs) == 12 * 8


def test_the_cnn_of_a_hybrid_vit_starts_the_hybrid_affinity_network():
    vit, model = create_model("vit_tiny_r_s8", 6), create_model("affinitynet_hybrid_tiny")
    given = distinct(state_of(vit))
    result = load_weights(model.backbone, given, subtree="patch_embed.backbone")
    assert_loaded(model.backbone, {k.removeprefix("patch_embed.backbone."): t for k, t in given.items()}, {})
    assert "cls_token" in result.dropped


def test_a_hybrid_vit_starts_the_affinity_network_on_several_levels():
    vit, model = create_model("vit_tiny_r_s8", 6), create_model("affinitynet_multilevel_tiny")
    given = distinct(state_of(vit))
    load_weights(model.vit, given, drop=("head",))
    assert_loaded(model.vit, {k: t for k, t in given.items() if not k.startswith("head.")}, {})


def test_a_resnet_of_timm_s_starts_deeplab_v2():
    resnet, model = create_model("resnet18", 10), create_model("deeplab_v2_resnet101", 5, architecture="resnet18")
    given = distinct(state_of(resnet))
    load_weights(model.backbone, given, drop=("fc",))
    assert_loaded(model.backbone, {k: t for k, t in given.items() if not k.startswith("fc.")}, {})
