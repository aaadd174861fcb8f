"""Parameter groups: every trained parameter is in one group, with its own factor and decay."""

import pytest
from torch import nn

from seedbed.errors import ParameterError
from seedbed.models import create_model
from seedbed.train.groups import parameter_groups


def network():
    return nn.ModuleDict({"body": nn.Linear(2, 3), "norm": nn.LayerNorm(3), "head": nn.Linear(3, 4)})


def by_name(model, groups):
    """Parameter name -> (factor, decay)."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    pairs = [(names[id(p)], (group["lr_scale"], group["weight_decay"])) for group in groups for p in group["params"]]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_vectors_do_not_decay():
    model = network()
    assert by_name(model, parameter_groups("standard", model, 0.05, {})) == {
        "body.weight": (1.0, 0.05),
        "head.weight": (1.0, 0.05),
        "body.bias": (1.0, 0.0),
        "norm.weight": (1.0, 0.0),
        "norm.bias": (1.0, 0.0),
        "head.bias": (1.0, 0.0),
    }


def test_what_the_network_spares_does_not_decay():
    model = network()
    model.no_weight_decay = lambda: {"head.weight"}
    assert by_name(model, parameter_groups("standard", model, 0.05, {}))["head.weight"] == (1.0, 0.0)


def test_a_vision_transformers_positions_do_not_decay():
    model = create_model("vit_tiny_patch16_224", 3, img_size=32, depth=1)
    found = by_name(model, parameter_groups("standard", model, 0.05, {}))
    assert found["pos_embed"] == found["cls_token"] == (1.0, 0.0)
    assert found["blocks.0.attn.qkv.weight"] == (1.0, 0.05)


def test_uniform_decay():
    model = network()
    assert set(by_name(model, parameter_groups("uniform", model, 0.05, {})).values()) == {(1.0, 0.05)}


def test_the_longest_prefix_counts():
    model = network()
    found = by_name(model, parameter_groups("uniform", model, 0.0, {"head": 10.0, "head.bias": 20.0, "b": 0.5}))
    factors = {name: factor for name, (factor, _) in found.items()}
    assert factors == {
        "body.weight": 0.5,
        "body.bias": 0.5,
        "norm.weight": 1.0,
        "norm.bias": 1.0,
        "head.weight": 10.0,
        "head.bias": 20.0,
    }


@pytest.mark.parametrize("name", ["standard", "uniform"])
def test_frozen_parameters_are_left_out(name):
    model = network()
    model["body"].requires_grad_(False)
    found = by_name(model, parameter_groups(name, model, 0.05, {"body": 2.0, "head": 3.0}))
    assert set(found) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}


def test_a_network_with_groups_of_its_own():
    model = network()
    model.parameter_groups = lambda decay: [
        {"params": list(model.parameters()), "lr_scale": 7.0, "weight_decay": decay}
    ]
    assert set(by_name(model, parameter_groups("own", model, 0.3, {})).values()) == {(7.0, 0.3)}
    with pytest.raises(ParameterError, match="lr_scales cannot be combined with groups: own"):
        parameter_groups("own", model, 0.3, {"head": 2.0})


def test_mistakes_are_named():
    with pytest.raises(ParameterError, match=r"Unknown parameter grouping 'standart'. Did you mean 'standard'"):
        parameter_groups("standart", network(), 0.0, {})
    with pytest.raises(ParameterError, match=r"lr_scales: no parameter of ModuleDict starts with \['haed'\]"):
        parameter_groups("standard", network(), 0.0, {"haed": 2.0, "body": 3.0})
    with pytest.raises(
        ParameterError, match="ModuleDict has no parameter groups of its own; choose standard or uniform"
    ):
        parameter_groups("own", network(), 0.0, {})
