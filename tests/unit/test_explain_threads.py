"""Explaining changes nothing of the model at any time: other threads may use it, and train it, meanwhile."""

import threading
from types import MethodType

import numpy as np
import pytest
import timm
import torch
from explain_models import build, images_for
from torch import nn

from seedbed.evaluate.erasing import erased_logits
from seedbed.explain import explain, methods, supports
from seedbed.explain.evaluated import evaluated
from seedbed.explain.one_image import explain_picture
from seedbed.models import create_model

torch.set_num_threads(1)
MCT = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 3, "num_heads": 3}


class Watch(nn.Module):
    """What another thread would see of a network in training, at the moment that this part of it runs."""

    def __init__(self, network):
        super().__init__()
        self.seen, self.network = [], [network]
        self.own = {}

    def forward(self, x):
        (network,) = self.network
        flags = all(module.training for module in network.modules())
        own = {name: id(value) for name, value in network.named_parameters()}
        self.seen.append((flags, own == self.own, self.training))
        return x


def watched(network, where):
    """The network in training mode, with a part that watches it in front of a module."""
    watch = Watch(network)
    parent, _, name = where.rpartition(".")
    owner = network.get_submodule(parent)
    setattr(owner, name, nn.Sequential(watch, getattr(owner, name)))
    watch.own = {name: id(value) for name, value in network.named_parameters()}
    return network.train(), watch


def vit(dtype=torch.float32):
    torch.manual_seed(0)
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=4, pos_drop_rate=0.5, proj_drop_rate=0.5, **size).to(
        dtype
    )


NETWORKS = {
    "vit": (vit, "patch_embed.norm"),
    "half": (lambda: vit(torch.bfloat16), "patch_embed.norm"),
    "cnn": (lambda: timm.create_model("resnet10t", num_classes=4, drop_rate=0.5), "layer1"),
    "mctformer": (lambda: create_model("mctformerv2_tiny", 4, drop_path_rate=0.5, **MCT), "patch_embed"),
    "exvit": (lambda: create_model("exvit_tiny", 4, fused_layers=1, **MCT), "patch_embed"),
    "resnet38": (lambda: create_model("resnet38_tiny", 4), "conv1a"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_training_never_leaves_it(name):
    make, where = NETWORKS[name]
    network, watch = watched(make(), where)
    images, ran = torch.randn(1, 3, 32, 32), 0
    for method in methods():
        if not supports(network, method.name):
            continue
        before = len(watch.seen)
        torch.manual_seed(1)
        maps = explain(network, images, [1], method.name)
        assert torch.equal(maps.nan_to_num(), explain(network, images, [1], method.name).nan_to_num()), method.name
        ran += len(watch.seen) > before
    assert ran > 0 and set(watch.seen) == {(True, True, False)}
    assert all(module.training for module in network.modules())


def test_measurements_of_one_network_do_not_touch_it():
    network, watch = watched(vit(), "patch_embed.norm")
    erased_logits(network, torch.randn(1, 3, 32, 32), torch.arange(1024)[None], [5, 9], torch.zeros(1, 3, 1, 1), 2)
    explain_picture(network, np.zeros((32, 32, 3), np.uint8), ["rollout"])
    assert set(watch.seen) == {(True, True, False)} and network.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_explain_and_train_one_network(dtype):
    network, images = vit(dtype).train(), torch.randn(2, 3, 32, 32, dtype=dtype)
    names = ["rollout", "transformer_attribution", "cam"]
    expected = {name: explain(network, images, [1, 2], name) for name in names}
    found, wrong, done = {name: [] for name in names}, [], threading.Event()

    def train():
        try:
            while not done.is_set():
                one, other = network(images), network(images)
                if torch.equal(one, other) or one.dtype != dtype:
                    wrong.append("the training network did not drop out")
                one.sum().backward()
        except RuntimeError as error:
            wrong.append(error)

    def explained(name):
        found[name] += [explain(network, images, [1, 2], name) for _ in range(10)]

    trainer = threading.Thread(target=train)
    workers = [threading.Thread(target=explained, args=(name,)) for name in names for _ in range(2)]
    for thread in (trainer, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    trainer.join()
    assert not wrong and all(len(maps) == 20 for maps in found.values())
    assert all(torch.equal(maps, expected[name]) for name in names for maps in found[name])


def test_a_twin_shares_weights_and_what_is_in_two_places():
    shared = nn.Linear(3, 3)
    network = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.Dropout(0.5)), "none": nn.BatchNorm1d(3)})
    network["b"].helper = MethodType(lambda self: self.training, network["b"][1])
    network.register_module("absent", None)
    twin = evaluated(network.train())
    assert twin["a"] is twin["b"][0] and twin["a"] is not shared and twin["a"].weight is shared.weight
    assert twin["none"].running_mean is network["none"].running_mean
    assert not any(module.training for module in twin.modules()) and all(m.training for m in network.modules())
    assert (twin["b"].helper(), network["b"].helper()) == (False, True)
    assert evaluated(twin) is twin and twin.absent is None
    twin.none = None
    assert "none" in network


def test_a_part_that_is_compiled_is_run_as_it_was_written():
    model, images = timm.create_model("resnet10t", num_classes=4).eval(), torch.randn(1, 3, 64, 64)
    expected = explain(model, images, [1], "cam")
    model.layer1 = torch.compile(model.layer1)
    assert torch.equal(explain(model.train(), images, [1], "cam"), expected)


def test_hooks_are_kept_where_they_are_asked_for():
    network, seen = nn.Sequential(nn.Linear(2, 2)), []
    network[0].register_forward_hook(lambda *_: seen.append(1))
    network[0].forward = MethodType(lambda self, x: x + 1, network[0])
    x = torch.zeros(1, 2)
    assert torch.equal(evaluated(network, hooks=True)(x), x + 1) and seen == [1]
    assert not torch.equal(evaluated(network)(x), x + 1) and seen == [1]


def test_hooks_that_know_their_module_may_watch():
    model = build("class_token")
    names, seen = {module: name for name, module in model.named_modules()}, []
    for block in model.blocks:
        block.register_forward_hook(lambda module, *_: seen.append(names[module]))
    explain(model, images_for("class_token"), None, "rollout")
    assert seen == ["blocks.0", "blocks.1", "blocks.2"]
