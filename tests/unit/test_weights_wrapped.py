"""Checkpoints as training scripts leave them: nested, wrapped, with averages, and files that are something else."""

import argparse
import logging
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from seedbed.errors import DataError, ParameterError
from seedbed.models import load_weights, read_weights
from seedbed.models.weights.reading import read_checkpoint


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 4)


def state(seed=1):
    torch.manual_seed(seed)
    return {k: torch.randn(t.shape) if t.is_floating_point() else t + seed for k, t in Net().state_dict().items()}


def under(prefix, tensors=None):
    return {f"{prefix}{name}": tensor for name, tensor in (tensors or state()).items()}


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in a)


def loaded(content, tmp_path, **options):
    torch.save(content, tmp_path / "a.pth")
    model = Net()
    return load_weights(model, tmp_path / "a.pth", **options), model.state_dict()


OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
NAMED_OPTIMISER = {"state": {"stem.weight": {"exp_avg": torch.zeros(3)}}}
ENTRIES = [
    "state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "weights", "params",
    "my_classifier", "backbone", "ema", "model_ema", "teacher", "student",
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_one_entry_with_weights_is_the_weights(entry, tmp_path):
    content = {"epoch": 3, entry: state(), "optimizer": OPTIMISER, "optim_g": NAMED_OPTIMISER, "lr_scheduler": {"a": 1}}
    result, found = loaded(content, tmp_path)
    assert same(found, state()) and result.taken == entry


PREFIXES = [
    "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "module.module.", "model.", "net.", "backbone.",
    "model.backbone.", "module.encoder.", "teacher.", "student.", "model._orig_mod.", "a.b.c.",
]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("nested", [True, False])
def test_what_wrappers_put_before_all_names_is_taken_off(prefix, nested, tmp_path):
    tensors = OrderedDict(under(prefix))
    assert same(loaded({"state_dict": tensors} if nested else tensors, tmp_path)[1], state())


def test_wrappers_of_pytorch_itself(tmp_path):
    net = Net()
    net.load_state_dict(state())
    parallel, compiled, averaged = nn.DataParallel(net), torch.compile(net), AveragedModel(net)
    for wrapper in (parallel, compiled, averaged, AveragedModel(torch.compile(net)), nn.DataParallel(compiled)):
        assert same(loaded(wrapper.state_dict(), tmp_path)[1], state()), type(wrapper)


def test_wrappers_between_modules(tmp_path):
    names = {"stem": "_orig_mod.stem", "norm": "norm._checkpoint_wrapped_module", "head": "head._fsdp_wrapped_module"}
    tensors = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": tensor for key, tensor in state().items()}
    assert same(loaded(tensors, tmp_path)[1], state())


@pytest.mark.parametrize("prefix", ["backbone.", "model.", "module."])
def test_a_network_that_has_the_module_keeps_it(prefix):
    model = nn.ModuleDict({prefix[:-1]: Net(), "other": nn.Linear(1, 1)})
    given = {**under(prefix), "other.weight": torch.ones(1, 1), "other.bias": torch.ones(1)}
    load_weights(model, given)
    assert same(model.state_dict(), given)


def test_modules_beside_the_wrapped_network_are_dropped_on_purpose_alone(tmp_path):
    content = {**under("backbone."), "projector.weight": torch.zeros(2)}
    with pytest.raises(DataError, match=r"1 left over: projector\.weight"):
        loaded(content, tmp_path)
    result, found = loaded(content, tmp_path, drop=("projector",))
    assert same(found, state()) and result.dropped == ["projector.weight"]
    head = {name: tensor for name, tensor in content.items() if not name.startswith("projector")}
    for named in ("head", "backbone.head"):
        assert set(loaded(head, tmp_path, drop=(named,), fresh=("head",))[0].dropped) == {
            "backbone.head.bias",
            "backbone.head.weight",
        }


def test_a_name_with_and_without_the_wrapper_is_refused(tmp_path):
    content = {**under("backbone."), "head.weight": torch.zeros(4, 3)}
    with pytest.raises(DataError, match=r"'backbone\.' and without.*subtree: backbone"):
        loaded(content, tmp_path)
    result, found = loaded(content, tmp_path, subtree="backbone")
    assert same(found, state()) and result.dropped == ["head.weight"]


@pytest.mark.parametrize(
    ("raw", "average"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("state_dict", "ema_state_dict"),
        ("net", "net_ema"),
        ("params", "params_ema"),
        ("model", "ema_0.9999"),
        ("model_state", "swa_state"),
        ("student", "teacher"),
        ("model", "averaged_model"),
    ],
)
def test_a_running_average_is_taken_and_that_is_said(raw, average, tmp_path, caplog):
    nested = {raw: state(1), average: under("module.", state(2))}
    flat = {**under(f"{raw}.", state(1)), **under(f"{average}.", state(2))}
    for content in (nested, flat) if "." not in average else (nested,):  # a dot ends a module's name
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="seedbed.terminal"):
            result, found = loaded(content, tmp_path)
        assert same(found, state(2)) and result.taken == average
        assert f"'{average}' are taken, not those under '{raw}' (subtree: {raw} takes these)" in caplog.text
        result, found = loaded(content, tmp_path, subtree=raw)
        assert same(found, state(1)) and result.taken == raw


def test_averages_with_counters_of_their_own(tmp_path):
    flat = {**under("net.", state(1)), **under("net_ema.module.", state(2)), "net_ema.n_averaged": torch.tensor(9)}
    nested = {"state_dict": state(1), "ema_state_dict": {**under("module.", state(2)), "steps": torch.tensor(4)}}
    for content in (flat, nested):
        assert same(loaded(content, tmp_path)[1], state(2))


def test_a_network_saved_by_its_parts(tmp_path):
    parts = {"stem": {}, "norm": {}, "head": {}}
    for name, tensor in state().items():
        parts[name.partition(".")[0]][name.partition(".")[2]] = tensor
    result, found = loaded({**parts, "optimizer": OPTIMISER, "epoch": 1}, tmp_path)
    assert same(found, state()) and result.taken == ""


def test_momentum_encoders_of_other_names_are_not_guessed(tmp_path):
    content = {"state_dict": {**under("module.encoder_q."), **under("module.encoder_k.", state(2))}}
    with pytest.raises(DataError, match=r"left over: encoder_"):
        loaded(content, tmp_path)
    assert same(loaded(content, tmp_path, subtree="encoder_q")[1], state(1))


def test_averages_deep_within(tmp_path):
    content = {"checkpoint": {"model": {"student": under("module.backbone."), "teacher": under("backbone.", state(2))}}}
    result, found = loaded(content, tmp_path)
    assert same(found, state(2)) and result.taken == "checkpoint.model.teacher"
    deep = loaded(content, tmp_path, subtree="checkpoint.model.student.backbone")
    assert same(deep[1], state(1)) and deep[0].taken == "checkpoint.model.student.backbone"


def test_a_subtree_of_modules_within_what_is_taken(tmp_path):
    content = {"model": {"encoder.a": torch.zeros(1), **under("encoder.net.")}, "optimizer": OPTIMISER}
    assert same(loaded(content, tmp_path, subtree="encoder.net")[1], state())
    with pytest.raises(ParameterError, match=r"no tensors below 'studnet'; other weights in it: student"):
        loaded({"student": state(), "teacher": state()}, tmp_path, subtree="studnet")


def test_several_networks_and_no_word_which(tmp_path):
    content = {"netG": state(1), "netD": state(2)}
    with pytest.raises(DataError, match=r"several networks: netG, netD.*subtree: netG"):
        loaded(content, tmp_path)
    assert same(loaded(content, tmp_path, subtree="netD")[1], state(2))


def test_numbers_of_numpy_beside_the_weights(tmp_path):
    scores = {"best": np.float64(0.7), "epoch": np.int64(3), "ious": np.zeros(3), "done": np.bool_(True)}
    content = {"model": state(), "args": argparse.Namespace(lr=np.float32(1)), "epoch": 3, **scores}
    assert same(loaded(content, tmp_path)[1], state())
    old = pickle.dumps(np.float64(0.7), protocol=2).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core" in old
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "old.pth").read_bytes()
    (tmp_path / "old.pth").write_bytes(whole.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert same(read_weights(tmp_path / "old.pth"), state())


def test_arrays_of_numpy_as_weights(tmp_path):
    content = {name: tensor.numpy() for name, tensor in state().items()}
    assert same(loaded({"model": content}, tmp_path)[1], state())


def test_a_number_among_the_tensors_is_left_over(tmp_path):
    with pytest.raises(DataError, match="1 left over: epoch"):
        loaded({**state(), "epoch": np.int64(3)}, tmp_path)


def test_content_that_somebody_loaded_himself():
    model = Net()
    assert load_weights(model, {"model": state(1), "model_ema": state(2)}).taken == "model_ema"
    assert same(model.state_dict(), state(2))


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.params", "A.BIN"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><head>", r"begins with '<!DOCTYPE html>.*web page.*Fetch"),
        (b"\xef\xbb\xbf\r\n <html>\n<title>Sign in", "begins with '<html>'.*web page"),
        (b"<?xml version='1.0'?><Error>AccessDenied", "begins with '<.xml.*web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n", "pointer of Git LFS.*git lfs pull"),
        (b"404: Not Found", "begins with '404: Not Found': it is text.*Fetch"),
        (b'{"error": "rate limit"}', "begins with '{.*it is text"),
        (b"\x1f\x8b\x08\x00rest", "compressed .gzip.; unpack"),
        (b"", "is empty; fetch"),
    ],
)
def test_what_is_downloaded_in_place_of_weights_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / name)


def test_a_suffix_that_does_not_tell(tmp_path):
    safetensors.torch.save_file(state(), tmp_path / "a.bin")
    torch.save(state(), tmp_path / "b.safetensors")
    torch.save(state(), tmp_path / "c.PTH")
    for name in ("a.bin", "b.safetensors", "c.PTH"):
        assert same(read_checkpoint(tmp_path / name).tensors, state()), name
