"""What sets MCTformer+ apart from MCTformer-V2, point by point."""

import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import ParameterError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights
from seedbed.models.mctformer_maps import mctformer_maps
from seedbed.train.groups import parameter_groups
from seedbed.train.objectives import build_objective

torch.set_num_threads(1)
SIZE = {"img_size": 24, "patch_size": 8, "embed_dim": 12, "depth": 3, "num_heads": 3}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("mctformer_plus_small", 4, **SIZE).eval()


def test_logits_weigh_patches_by_rank(model):
    output = model(torch.randn(2, 3, 24, 32))
    for b in range(2):
        for c in range(4):
            ranked = sorted(output.patch_maps[b, c].flatten().tolist(), reverse=True)
            weights = [0.996**k for k in range(12)]
            expected = sum(w * v for w, v in zip(weights, ranked, strict=True)) / sum(weights)
            assert output.patch_logits[b, c].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    torch.testing.assert_close(output.logits, (output.class_logits + output.patch_logits) / 2)


def test_without_decay_it_is_the_mean(model):
    model.rank_decay = 1.0
    output = model(torch.randn(1, 3, 24, 24))
    torch.testing.assert_close(output.patch_logits, output.patch_maps.mean(dim=(2, 3)))


def test_positions_apart(model):
    with torch.no_grad():
        model.pos_embed.fill_(float("nan"))  # never used
    table = model.pos_embed_pat.transpose(1, 2).unflatten(2, (3, 3))
    for grid, size in (((3, 3), (24, 31)), ((1, 9), (8, 72)), ((5, 4), (40, 32))):
        positions = model.positions(size)
        assert torch.equal(positions[:, :4], model.pos_embed_cls)
        plain = F.interpolate(table, size=grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        torch.testing.assert_close(positions[:, 4:], plain)
        assert torch.isfinite(model(torch.randn(1, 3, *size)).logits).all()
    assert torch.equal(model.positions((24, 24))[:, 4:], model.pos_embed_pat)


def test_maps_by_explicit_loops(model):
    images = torch.randn(1, 3, 24, 32)
    output, maps = model(images, attention="mean"), mctformer_maps(model, images, class_attention_layers=2)
    for c in range(4):
        seen = (output.attention[1][0, c, 4:] + output.attention[2][0, c, 4:]) / 2
        fused = (seen * output.patch_maps[0, c].flatten().clamp(min=0)) ** 0.5
        refined = sum(layer[0, 4:, 4:] @ fused for layer in output.attention)
        torch.testing.assert_close(maps.class_attention[0, c].flatten(), seen)
        torch.testing.assert_close(maps.fused[0, c].flatten(), fused)
        torch.testing.assert_close(maps.refined[0, c].flatten(), refined)
    every = torch.arange(4)[None]
    refined = explain(model, images, every, "mct_refined", class_attention_layers=2)
    torch.testing.assert_close(refined, maps.refined)


def test_the_predicted_class_is_both_heads(model):
    images = torch.randn(8, 3, 24, 24)
    output = model(images)
    assert (output.logits.argmax(dim=1) != output.class_logits.argmax(dim=1)).any()
    maps = explain(model, images, None, "mct_cam")
    for k, c in enumerate(output.logits.argmax(dim=1)):
        torch.testing.assert_close(maps[k], output.patch_maps[k, c].relu())


@pytest.mark.parametrize("options", [{}, {"par_dilations": [1, 2], "maps": "fused"}])
def test_it_learns_with_mctformers_losses(model, options):
    objective = build_objective("mctformer_aream" if options else "mctformer", **options)
    objective.bind(model.train())
    loss, parts = objective(model, (torch.randn(2, 3, 24, 24), torch.eye(4)[:2]))
    assert {"class", "patch"} <= set(parts)
    loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), key
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key


def test_positions_are_not_decayed(model):
    (plain, decayed) = sorted(parameter_groups("standard", model, 0.05, {}), key=lambda group: group["weight_decay"])
    assert (plain["weight_decay"], decayed["weight_decay"]) == (0.0, 0.05)
    for parameter in (model.cls_token, model.pos_embed_cls, model.pos_embed_pat):
        assert any(parameter is other for other in plain["params"])


def test_deit_starts_both_tables(model):
    given = create_model("vit_tiny_patch8_96", 7, **{**SIZE, "img_size": 32}, mlp_ratio=4.0).state_dict()
    result = load_weights(model, given, layout="mctformer_deit")
    assert result.fresh == ["head.bias", "head.weight", "pos_embed"]
    assert torch.equal(model.pos_embed_cls.data, given["pos_embed"][:, [0] * 4])
    table = given["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    expected = F.interpolate(table, size=(3, 3), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.pos_embed_pat.data, expected)


def test_an_unknown_option_is_named():
    with pytest.raises(ParameterError, match=r"mctformer_plus_small.*'dept'"):
        create_model("mctformer_plus_small", 4, dept=2)
