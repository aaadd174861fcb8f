"""Safetensors files with provenance in the header."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from seedbed.errors import DataError
from seedbed.io.weights import (
    compare_weights,
    content_sha256,
    read_weights,
    read_weights_provenance,
    weights_pin,
    write_weights,
)


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "b.weight": torch.randn(3, 4, generator=generator),
        "a.bias": torch.randn(4, generator=generator).double(),
        "count": torch.tensor(7),
        "half": torch.randn(2, 2, generator=generator).half(),
    }


def test_round_trip(tmp_path):
    write_weights(tmp_path / "a.safetensors", tensors(), {"seed": 1})
    found = read_weights(tmp_path / "a.safetensors")
    assert set(found) == set(tensors())
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert read_weights_provenance(tmp_path / "a.safetensors") == {"seed": 1}


def test_the_same_weights_give_the_same_bytes_in_any_order(tmp_path):
    write_weights(tmp_path / "1", tensors(), {"a": 1, "b": 2})
    write_weights(tmp_path / "2", dict(reversed(tensors().items())), {"b": 2, "a": 1})
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}) == 1


def test_views_parameters_and_tied_weights_are_written_as_they_look(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    given = {"tied": base, "again": base, "column": base[:, 1], "turned": base.T, "learnt": torch.nn.Parameter(base)}
    write_weights(tmp_path / "a", given, {})
    for name, tensor in read_weights(tmp_path / "a").items():
        assert torch.equal(tensor, given[name])


def test_weights_of_other_software_have_no_provenance(tmp_path):
    save_file(tensors(), tmp_path / "a.safetensors")
    assert read_weights_provenance(tmp_path / "a.safetensors") == {}


@pytest.mark.parametrize("read", [read_weights, read_weights_provenance])
def test_damage_is_named(tmp_path, read):
    write_weights(tmp_path / "whole", tensors(), {})
    content = (tmp_path / "whole").read_bytes()
    for name, damaged in {"cut": content[:-20], "empty": b"", "text": b"these are no weights"}.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DataError, match=f"{name}: not a readable safetensors file"):
            read(tmp_path / name)
    with pytest.raises(DataError, match="gone: no such weights file"):
        read(tmp_path / "gone")


def test_weights_are_compared_by_name_shape_and_value():
    same = compare_weights(tensors(), tensors())
    assert same == {"identical": True, "names": [], "largest_difference": 0.0}
    other = {**tensors(), "a.bias": tensors()["a.bias"] + 0.5, "half": torch.zeros(3), "more": torch.zeros(1)}
    del other["count"]
    found = compare_weights(tensors(), other)
    assert found["names"] == ["count", "half", "more"]
    assert not found["identical"]
    assert found["largest_difference"] == pytest.approx(0.5)


def test_a_pin_tells_values_names_and_types_but_no_order():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    size, digest = weights_pin(tensors)
    assert weights_pin({"b": torch.ones(2), "a": tensors["a"].t().contiguous().t()}) == (size, digest)
    for other in (
        {**tensors, "b": torch.zeros(2)},
        {"a": tensors["a"], "c": torch.ones(2)},
        {"a": tensors["a"].half()},
    ):
        assert weights_pin(other)[1] != digest


def test_the_content_has_one_checksum_wherever_it_lies_and_whoever_made_it(tmp_path):
    (tmp_path / "moved").mkdir()
    write_weights(tmp_path / "a.safetensors", tensors(), {"device": "A100"})
    write_weights(tmp_path / "moved" / "b.safetensors", tensors(), {"device": "H100"})
    write_weights(tmp_path / "c.safetensors", {**tensors(), "count": torch.tensor(8)}, {"device": "A100"})
    one, moved, other = (
        content_sha256(tmp_path / name) for name in ("a.safetensors", "moved/b.safetensors", "c.safetensors")
    )
    assert one == moved != other
