"""Containers and strict loading."""

import argparse

import pytest
import safetensors.torch
import torch
from torch import nn

from seedbed.errors import DataError, ParameterError
from seedbed.models import load_weights, read_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Linear(3, 4))


def other_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {key: torch.randn(t.shape) if t.is_floating_point() else t + 7 for key, t in network().state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in a)


def test_every_container_gives_the_same_tensors(tmp_path):
    state = other_state()
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save({"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}, tmp_path / "deit.pth")
    torch.save({"meta": {"x": 1}, "state_dict": {f"module.{k}": t for k, t in state.items()}}, tmp_path / "a.pt")
    torch.save({"state_dict": {"model": state}}, tmp_path / "a.bin")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        assert same(read_weights(path), state), path.name
        model = network()
        load_weights(model, path)
        assert same(model.state_dict(), state), path.name


def test_module_prefix_is_kept_unless_all_names_have_it(tmp_path):
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "a.pth")
    assert set(read_weights(tmp_path / "a.pth")) == {"module.a", "b"}


class Payload:
    def __reduce__(self):
        return (print, ("this would run code",))


def test_pickles_that_hold_more_than_weights_are_refused(tmp_path, capsys):
    torch.save({"model": other_state(), "extra": Payload()}, tmp_path / "a.pth")
    with pytest.raises(DataError, match="cannot be read as weights alone"):
        read_weights(tmp_path / "a.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": {"a": "text"}}, {3: torch.zeros(1)}])
def test_checkpoints_without_named_tensors_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DataError, match="named tensors"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.params"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02}q\x00."[:4]])
def test_broken_files_are_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_cut_files_are_refused(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    (safetensors.torch.save_file if suffix == "safetensors" else torch.save)(other_state(), whole)
    content = whole.read_bytes()
    for size in (10, len(content) // 2, len(content) - 1):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(content[:size])
        with pytest.raises(DataError, match="cut"):
            read_weights(cut)


def test_missing_files_and_unknown_suffixes(tmp_path):
    with pytest.raises(DataError, match="no weights file"):
        read_weights(tmp_path / "nowhere.pth")
    (tmp_path / "a.npz").write_bytes(b"x")
    with pytest.raises(ParameterError, match=r"\.safetensors"):
        read_weights(tmp_path / "a.npz")


def test_one_error_lists_all_that_does_not_fit_and_nothing_is_loaded():
    model, state = network(), other_state()
    before = {key: t.clone() for key, t in model.state_dict().items()}
    del state["0.bias"], state["1.weight"]
    state |= {"3.weight": torch.zeros(1), "2.bias": torch.zeros(5)}
    with pytest.raises(DataError) as caught:
        load_weights(model, state)
    text = str(caught.value)
    assert "2 missing: 0.bias, 1.weight" in text
    assert "1 left over: 3.weight" in text
    assert "1 of another shape: 2.bias is (5,), not (4,)" in text
    assert "Sequential" in text
    assert same(model.state_dict(), before)


def test_batch_counters_may_be_absent():
    model, state = network(), other_state()
    del state["1.num_batches_tracked"]
    load_weights(model, state)
    assert model.state_dict()["1.num_batches_tracked"] == 0


def test_drop_and_fresh_are_said_in_so_many_words():
    model, state = network(), other_state()
    before = model.state_dict()["2.weight"].clone()
    state = {key.replace("2.", "head."): t for key, t in state.items()}
    result = load_weights(model, state, drop=("head",), fresh=("2",))
    assert result.loaded == sorted(key for key in state if not key.startswith("head"))
    assert result.dropped == ["head.bias", "head.weight"]
    assert result.fresh == ["2.bias", "2.weight"]
    assert torch.equal(model.state_dict()["2.weight"], before)
    assert torch.equal(model.state_dict()["0.bias"], state["0.bias"])
    with pytest.raises(ParameterError, match="'tail'"):
        load_weights(model, state, drop=("tail",), fresh=("2",))
    with pytest.raises(ParameterError, match="'9'"):
        load_weights(model, state, drop=("head",), fresh=("9",))


def test_a_fresh_layer_that_the_file_has_must_be_dropped_too():
    with pytest.raises(DataError, match=r"2 left over: 2\.weight, 2\.bias"):
        load_weights(network(), other_state(), fresh=("2",))


def test_a_subtree_can_be_taken_out():
    model, state = network(), other_state()
    nested = {f"encoder.cnn.{key}": t for key, t in state.items()} | {"encoder.other": torch.zeros(1)}
    result = load_weights(model, nested, subtree="encoder.cnn")
    assert same(model.state_dict(), state)
    assert result.dropped == ["encoder.other"]
    with pytest.raises(ParameterError, match=r"'encoder\.rnn'"):
        load_weights(model, nested, subtree="encoder.rnn")


def test_dtype_of_the_model_is_kept():
    model = network().double()
    state = {key: t.half() if t.is_floating_point() else t for key, t in other_state().items()}
    load_weights(model, state)
    assert model[0].weight.dtype == torch.float64
    assert torch.equal(model[0].weight, state["0.weight"].double())


def test_unknown_layouts_are_refused():
    with pytest.raises(ParameterError, match="Did you mean 'mctformer_deit'"):
        load_weights(network(), {}, layout="mctformer_deits")
