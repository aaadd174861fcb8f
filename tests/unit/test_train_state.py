"""The resume state: tensors and plain values survive, damage and other runs do not."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seedbed.errors import UserError
from seedbed.train.state import StateWriter, load_state, save_state, take_up_state

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
    for other, named in (
        ({"lr": 0.1}, 'data: {"a": 1, "b": 2} before, nothing now'),
        ({"lr": 0.2, "data": {"a": 1, "b": 3}}, "data.b: 2 before, 3 now; lr: 0.1 before, 0.2 now"),
    ):
        state, message = load_state(path, other)
        assert state is None
        assert message == f"starting from the first step: {path} belongs to other settings, data or code ({named})"
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


def test_a_state_of_another_run_is_set_aside_and_taken_up_by_its_own(tmp_path, caplog):
    path = tmp_path / "resume.pt"
    save_state(path, {"lr": 0.1}, {"step": 3})
    assert take_up_state(path, {"lr": 0.2})[0] is None
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("resume.pt.set-aside-")
    assert caplog.messages == [
        f"Starting from the first step: {path} belongs to other settings, data or code (lr: 0.1 before, 0.2 now). It "
        f"is kept as {aside}; delete that if you do not need it."
    ]
    save_state(path, {"lr": 0.2}, {"step": 7})
    assert take_up_state(path, {"lr": 0.3}) == (None, load_message(path, "lr: 0.2 before, 0.3 now"))
    assert len(list(tmp_path.iterdir())) == 2  # neither has overwritten the other
    assert take_up_state(path, {"lr": 0.1})[0] == {"step": 3}
    assert caplog.messages[-1] == f"Going on from step 3, saved in {aside}, which had been set aside."
    assert take_up_state(path, {"lr": 0.2})[0] == {"step": 7}
    assert [found.name for found in tmp_path.iterdir() if "set-aside" in found.name] == [aside.name]


def load_message(path, differences):
    return f"starting from the first step: {path} belongs to other settings, data or code ({differences})"


def test_threads_matter_where_both_runs_compute_on_a_cpu(tmp_path):
    path, gpu, one, two = tmp_path / "resume.pt", {}, {"compute_threads": 1}, {"compute_threads": 2}
    for before, now, goes_on in ((one, two, False), (one, gpu, True), (gpu, two, True), (two, two, True)):
        save_state(path, before, {"step": 1})
        assert (load_state(path, now)[0] is not None) == goes_on


def test_damaged_states_are_kept_apart(tmp_path, caplog):
    path = tmp_path / "resume.pt"
    for content in (b"", b"something"):
        path.write_bytes(content)
        assert take_up_state(path, {})[0] is None
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {
        "resume.pt.damaged": b"",
        "resume.pt.damaged.2": b"something",
    }
    assert f"{path} is damaged. It is kept as {path}.damaged.2" in caplog.messages[-1]


def test_what_is_written_is_the_state_when_it_was_given(tmp_path):
    """The training changes its weights and its history while they are being written."""
    go_on = threading.Event()

    def slow(path, fingerprint, state):
        go_on.wait()
        save_state(path, fingerprint, state)

    weights, rows = torch.zeros(4), [{"loss": 1.0}]
    with StateWriter(slow) as writer:
        writer.write(tmp_path / "a", {}, {"step": 1, "model": {"w": weights}, "history": rows})
        weights += 1
        rows.append({"loss": 2.0})
        rows[0]["loss"] = 3.0
        writer.check()
        assert not (tmp_path / "a").exists()
        go_on.set()
    state, _ = load_state(tmp_path / "a", {})
    assert torch.equal(state["model"]["w"], torch.zeros(4))
    assert state["history"] == [{"loss": 1.0}]


def test_the_versions_of_layers_survive(tmp_path):
    with StateWriter() as writer:
        writer.write(tmp_path / "a", {}, {"step": 1, "model": nn.BatchNorm1d(2).state_dict()})
    assert load_state(tmp_path / "a", {})[0]["model"]._metadata == nn.BatchNorm1d(2).state_dict()._metadata


def test_one_state_is_written_at_a_time_and_the_end_waits(tmp_path):
    at_work, most = [], []

    def counted(path, fingerprint, state):
        at_work.append(path)
        most.append(len(at_work))
        save_state(path, fingerprint, state)
        at_work.remove(path)

    with StateWriter(counted) as writer:
        for step in range(20):
            writer.write(tmp_path / "a", {}, {"step": step})
    assert most == [1] * 20
    assert load_state(tmp_path / "a", {})[0] == {"step": 19}


@pytest.mark.parametrize("later", ["check", "wait", "end"])
def test_a_failed_write_is_raised_in_the_training(tmp_path, later):
    def full(path, fingerprint, state):
        raise UserError("full")

    with pytest.raises(UserError, match="full"), StateWriter(full) as writer:
        writer.write(tmp_path / "a", {}, {})
        while later == "check":
            writer.check()
        if later == "wait":
            writer.write(tmp_path / "a", {}, {})


def test_the_training_s_own_error_is_not_hidden_by_a_failed_write(tmp_path):
    def full(path, fingerprint, state):
        raise UserError("full")

    with pytest.raises(ZeroDivisionError), StateWriter(full) as writer:
        writer.write(tmp_path / "a", {}, {})
        raise ZeroDivisionError


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from seedbed.errors import UserError
from seedbed.train.state import StateWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with StateWriter() as writer:
        writer.write(Path(sys.argv[1]), {}, {"step": 2, "model": torch.rand(10**6)})
except UserError as error:
    print(error)
"""


def test_a_disk_that_is_full_in_the_middle_of_the_tensors(tmp_path):
    path = tmp_path / "resume.pt"
    save_state(path, {}, {"step": 1})
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{path}: the disk is full.")
    assert [found.name for found in tmp_path.iterdir()] == ["resume.pt"]
    assert load_state(path, {})[0] == {"step": 1}


WRITING = """
import itertools, sys
from pathlib import Path
import torch
from seedbed.train.state import StateWriter
with StateWriter() as writer:
    for step in itertools.count(1):
        writer.write(Path(sys.argv[1]), {}, {"step": step, "model": torch.full((10**6,), float(step))})
        print(step, flush=True)
"""


@pytest.mark.parametrize("moment", range(4))
def test_a_kill_at_any_moment_leaves_a_whole_state(tmp_path, moment):
    path = tmp_path / "resume.pt"
    writing = subprocess.Popen([sys.executable, "-c", WRITING, str(path)], stdout=subprocess.PIPE, text=True)
    for _ in range(2 + moment):
        begun = int(writing.stdout.readline())
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    writing.stdout.close()
    state, _ = load_state(path, {})
    assert state["step"] >= begun - 1  # that before the one which was being written, or a later one
    assert torch.equal(state["model"], torch.full((10**6,), float(state["step"])))


def test_the_error_of_a_full_disk_comes_through_the_thread(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match="the disk is full"), StateWriter() as writer:
        writer.write(tmp_path / "a", {}, {"step": 1})
    assert list(tmp_path.iterdir()) == []
