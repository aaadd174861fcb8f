"""The resume state: tensors and plain values survive, damage and other runs do not."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedbed.train.state import load_state, save_state

STATE = {
    "step": 3,
    "model": {"w": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(4)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
    "history": [{"loss": 0.25}],
    "sums": {},
}


def test_round_trip(tmp_path):
    save_state(tmp_path / "resume.pt", {"lr": 0.1}, STATE)
    state, message = load_state(tmp_path / "resume.pt", {"lr": 0.1})
    assert message == f"going on from step 3, saved in {tmp_path / 'resume.pt'}"
    assert state.keys() == STATE.keys()
    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert state["optimizer"] == STATE["optimizer"]
    assert (state["history"], state["step"]) == (STATE["history"], 3)


def test_no_state(tmp_path):
    assert load_state(tmp_path / "resume.pt", {}) == (None, "starting from the first step")


def test_other_fingerprints(tmp_path):
    path = tmp_path / "resume.pt"
    save_state(path, {"lr": 0.1, "data": {"a": 1, "b": 2}}, STATE)
    assert load_state(path, {"data": {"b": 2, "a": 1}, "lr": 0.1})[0] is not None
    for other in ({"lr": 0.1}, {"lr": 0.2, "data": {"a": 1, "b": 2}}, {}):
        state, message = load_state(path, other)
        assert state is None
        assert message == f"starting from the first step: {path} belongs to other settings, data or code"
    assert path.exists()


@given(st.data())
def test_any_damage_is_seen(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("state") / "resume.pt"
    save_state(path, {}, STATE)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    path.write_bytes(content)
    assert load_state(path, {}) == (None, f"starting from the first step: {path} is damaged")


def test_code_in_a_state_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    save_state(tmp_path / "resume.pt", {}, {"step": 1, "evil": Evil()})
    with pytest.raises(pickle.UnpicklingError):
        load_state(tmp_path / "resume.pt", {})
    assert not (tmp_path / "ran").exists()
