"""The training loop: killed and resumed it ends with the same bits, and it stops before it saves nonsense."""

import errno
import functools
import itertools
import logging
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_toys as toys
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_toys import Killed, WithMemory, cross_entropy, network, same, train

from seedbed.errors import UserError
from seedbed.io.progress import progress
from seedbed.train.loop import finish
from seedbed.train.run import History, NotFiniteError

STEPS = 12
KINDS = {
    "sgd": {"optimizer": "sgd", "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "poly", "warmup_epochs": 1.0},
    "ema": {"ema_decay": 0.8, "schedule": "constant", "clip_grad": 0.5},
    "per epoch": {"schedule": "poly_epoch", "optimizer": "sgd", "lr_scales": {"0.": 2.0}},
}


@functools.cache
def uninterrupted(kind, memory=False):
    """The network and history of a run that nothing disturbed."""
    return train(
        "/nonexistent/state", toys.settings(**KINDS[kind], save_every_seconds=1e9), objective=objective(memory)
    )


def objective(memory):
    return WithMemory() if memory else cross_entropy


@pytest.mark.parametrize("kind", KINDS)
@given(kills=st.lists(st.integers(2, STEPS), min_size=1, max_size=3), memory=st.booleans())
@settings(max_examples=12)
def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path_factory, kind, kills, memory):
    path, chosen = tmp_path_factory.mktemp("run") / "resume.pt", toys.settings(**KINDS[kind])
    for step in sorted(kills):
        with pytest.raises(Killed):
            train(path, chosen, kill_at=step, objective=objective(memory))
    model, history = train(path, chosen, objective=objective(memory))
    expected_model, expected_history = uninterrupted(kind, memory)
    assert same(model, expected_model)
    assert history == expected_history


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loader_processes_never_change_the_result(tmp_path, workers):
    chosen = toys.settings(**KINDS["adamw"], loader_workers=workers)
    with pytest.raises(Killed):
        train(tmp_path / "resume.pt", chosen, kill_at=7)
    model, history = train(tmp_path / "resume.pt", chosen)
    assert same(model, uninterrupted("adamw")[0])
    assert history == uninterrupted("adamw")[1]


def test_a_run_killed_by_the_system_goes_on(tmp_path):
    program = (
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import training_toys as toys\n"
        "def kill(model, step):\n"
        "    if step == 6: os.kill(os.getpid(), 9)\n"
        "toys.train(sys.argv[1], toys.settings(**eval(sys.argv[2])), after_step=kill)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "resume.pt"), repr(KINDS["ema"])]
    run = subprocess.run(command, check=False, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    steps = []
    model, history = train(
        tmp_path / "resume.pt", toys.settings(**KINDS["ema"]), after_step=lambda _, k: steps.append(k)
    )
    assert steps[0] in (5, 6)  # the kill may have come before the state of step 6 was written
    assert steps == list(range(steps[0], STEPS))
    assert same(model, uninterrupted("ema")[0])
    assert history == uninterrupted("ema")[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("share", "steps"), [(0.01, 1), (0.25, 3), (0.4, 5), (1, STEPS)])
def test_a_run_that_stops_early_is_the_beginning_of_the_whole_one(kind, share, steps):
    """Bit for bit: neither the schedule nor anything random knows where a run stops."""
    seen, taken = {}, []

    def keep(model, step):
        seen[step + 1] = {name: value.clone() for name, value in model.state_dict().items()}

    train("/nonexistent/state", toys.settings(**KINDS[kind], save_every_seconds=1e9), after_step=keep)
    early = toys.settings(**KINDS[kind], save_every_seconds=1e9, stop_at=share)
    trained = network()
    _, history = train("/nonexistent/state", early, model=trained, after_step=lambda _, k: taken.append(k))
    assert taken == [*range(steps)]
    assert all(torch.equal(value, seen[steps][name]) for name, value in trained.state_dict().items())
    whole = uninterrupted(kind)[1].rows
    assert history.rows[-1]["step"] == steps
    assert history.rows[: steps // 3] == whole[: steps // 3]


def test_a_run_that_stops_early_is_killed_and_resumed(tmp_path):
    chosen = {**KINDS["adamw"], "stop_at": 0.75}
    with pytest.raises(Killed):
        train(tmp_path / "resume.pt", toys.settings(**chosen), kill_at=6)
    model, history = train(tmp_path / "resume.pt", toys.settings(**chosen))
    undisturbed, expected = train("/nonexistent/state", toys.settings(**chosen, save_every_seconds=1e9))
    assert same(model, undisturbed)
    assert history == expected


def test_other_seeds_and_settings_give_other_networks(tmp_path):
    model, _ = uninterrupted("sgd")
    assert not same(model, train(tmp_path / "a", toys.settings(**KINDS["sgd"]), seed=2)[0])
    assert not same(model, train(tmp_path / "b", toys.settings(**KINDS["sgd"] | {"lr": 0.06}))[0])


def resumed_at(path, chosen, **more):
    steps = []
    train(path, chosen, after_step=lambda _, step: steps.append(step), **more)
    return steps[0]


@pytest.mark.parametrize(
    ("change", "first_step"),
    [
        ({}, 4),
        ({"chosen": toys.settings(loader_workers=1, save_every_seconds=5.0)}, 4),
        ({"chosen": toys.settings(log_every=4)}, 4),
        ({"circumstances": {"device": "another GPU"}}, 4),
        ({"chosen": toys.settings(lr=0.06)}, 0),
        ({"chosen": toys.settings(stop_at=0.9)}, 0),
        ({"chosen": toys.settings(compute_threads=2)}, 0),
        ({"seed": 2}, 0),
        ({"fingerprint": {"data": "other"}}, 0),
    ],
)
def test_a_state_of_other_settings_is_not_continued(tmp_path, change, first_step):
    with pytest.raises(Killed):
        train(tmp_path / "resume.pt", kill_at=5)
    assert resumed_at(tmp_path / "resume.pt", change.pop("chosen", None), **change) == first_step


def test_the_terminal_names_the_setting_that_differs(tmp_path, caplog):
    path = tmp_path / "resume.pt"
    with pytest.raises(Killed):
        train(path, kill_at=5)
    old = path.read_bytes()
    train(path, toys.settings(lr=0.06))
    (told,) = [record for record in caplog.records if record.name == "seedbed.terminal"]
    assert "settings.lr: 0.05 before, 0.06 now" in told.message
    (aside,) = tmp_path.glob("resume.pt.set-aside-*")
    assert str(aside) in told.message
    assert aside.read_bytes() == old
    finish(path)
    assert resumed_at(path, None) == 4  # with the old value again


def test_a_run_that_changes_its_device_goes_on_and_its_record_names_both(tmp_path, caplog):
    path, a100, h100 = tmp_path / "resume.pt", {"device": "A100", "torch": "2.4"}, {"device": "H100", "torch": "2.5"}
    for step, where in ((4, a100), (7, h100)):
        with pytest.raises(Killed):
            train(path, toys.settings(**KINDS["ema"]), kill_at=step, circumstances=where)
    model, history = train(path, toys.settings(**KINDS["ema"]), circumstances=h100)
    assert same(model, uninterrupted("ema")[0])
    assert history.rows == uninterrupted("ema")[1].rows
    assert history.computed_on == [{"from": 0, **a100}, {"from": 3, **h100}]
    (told,) = [record.message for record in caplog.records if record.name == "seedbed.terminal"]
    assert told.startswith(
        'Going on from step 3 under other circumstances (device: "A100" before, "H100" now; torch: "2.4" before, '
    )


def test_lines_of_another_spacing_go_on_behind_the_old_ones(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path / "resume.pt", toys.settings(**KINDS["sgd"]), kill_at=5)
    model, history = train(tmp_path / "resume.pt", toys.settings(**KINDS["sgd"], log_every=4))
    assert same(model, uninterrupted("sgd")[0])
    assert [row["step"] for row in history.rows] == [3, 8, 12]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + b"X" + b[-8:]])
def test_a_damaged_state_is_survived(tmp_path, damage, caplog):
    path = tmp_path / "resume.pt"
    with pytest.raises(Killed):
        train(path, toys.settings(**KINDS["sgd"]), kill_at=5)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.INFO):
        model, _ = train(path, toys.settings(**KINDS["sgd"]))
    assert "starting from the first step" in caplog.text
    assert "resume.pt is damaged" in caplog.text
    assert (tmp_path / "resume.pt.damaged").exists()
    assert same(model, uninterrupted("sgd")[0])


def test_the_state_is_saved_when_it_is_due_and_removed_at_the_end(tmp_path):
    path = tmp_path / "resume.pt"
    train(path, toys.settings(save_every_seconds=1e9))
    assert not path.exists()
    train(path)
    assert path.exists()
    finish(path)
    assert not path.exists()
    finish(path)


class Spoilt:
    """The toy's objective, whose loss (or only its gradient) breaks from the given call on."""

    def __init__(self, call, part):
        self.left, self.part = call, part

    def __call__(self, model, batch):
        loss, parts = cross_entropy(model, batch)
        self.left -= 1
        if self.left <= 0 and self.part == "gradient":
            return loss + (0 * model[0].weight.sum()).abs().sqrt(), parts  # 0 with an infinite slope
        return (loss * (math.nan if self.part == "nan" else math.inf) if self.left <= 0 else loss), parts


@pytest.mark.parametrize(("part", "named"), [("nan", "The loss became nan"), ("inf", "The loss became inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_state(tmp_path, part, named):
    with pytest.raises(NotFiniteError, match=rf"{named} by step 6 of 12. Lower the learning rate"):
        train(tmp_path / "resume.pt", objective=Spoilt(6, part))
    assert resumed_at(tmp_path / "resume.pt", None) == 5


def test_a_gradient_that_is_not_finite_stops_the_run_and_spares_the_state(tmp_path):
    with pytest.raises(NotFiniteError, match=r"'0\.weight' is not finite any more by step 5 of 12"):
        train(tmp_path / "resume.pt", objective=Spoilt(5, "gradient"))
    assert resumed_at(tmp_path / "resume.pt", None) == 4


def test_a_gradient_that_breaks_in_the_last_step_is_not_returned(tmp_path):
    with pytest.raises(NotFiniteError, match="by step 12 of 12"):
        train(tmp_path / "resume.pt", toys.settings(save_every_seconds=1e9), objective=Spoilt(12, "gradient"))


def test_a_loss_that_breaks_between_two_saves_is_seen_with_the_next_line(tmp_path):
    with pytest.raises(NotFiniteError, match="by step 6 of 12"):
        train(tmp_path / "resume.pt", toys.settings(save_every_seconds=1e9), objective=Spoilt(5, "nan"))


def test_the_history_averages_the_steps_since_its_last_line(tmp_path):
    losses = []

    def noted(model, batch):
        loss, parts = cross_entropy(model, batch)
        losses.append(float(loss.detach()))
        return loss, parts

    _, history = train(tmp_path / "a", toys.settings(epochs=None, iterations=8, schedule="constant"), objective=noted)
    assert [(row["step"], row["epoch"], row["lr"]) for row in history.rows] == [
        (3, 1, 0.05),
        (6, 2, 0.05),
        (8, 8 / 3, 0.05),
    ]
    for row, (start, end) in zip(history.rows, [(0, 3), (3, 6), (6, 8)], strict=True):
        assert row["loss"] == pytest.approx(sum(losses[start:end]) / (end - start), rel=1e-6)
        assert row["half"] == pytest.approx(row["loss"] / 2, rel=1e-6)


def test_the_written_history_holds_no_times(tmp_path):
    for name in ("a.csv", "b.csv"):
        train(tmp_path / "state", toys.settings(**KINDS["sgd"]))[1].write(tmp_path / name)
        finish(tmp_path / "state")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "step,epoch,lr,loss,half"
    assert len(lines) == 1 + STEPS // 3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_histories_with_parts_that_come_later(tmp_path):
    History([{"step": 1, "loss": 0.25}, {"step": 2, "loss": 1 / 3, "late": 4.0}]).write(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "step,loss,late\n1,0.25,\n2,0.33333333,4\n"


def test_frozen_parameters_and_statistics_stay(tmp_path):
    class PartlyFrozen(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[1].eval()
            return self

    model = PartlyFrozen(*network())
    model[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(tmp_path / "a", toys.settings(weight_decay=0.1), model=model)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"1.weight", "1.bias", "4.weight", "4.bias"}


def plain_run(steps=STEPS, **changes):
    """What the loop is to compute, written down once more: no dropout, plain SGD at a constant rate."""
    model = network()
    model[3].p = 0.0
    chosen = toys.settings(optimizer="sgd", momentum=0.0, schedule="constant", iterations=steps, epochs=None, **changes)
    return model, chosen


def test_gradients_are_clipped_to_a_norm(tmp_path):
    model, chosen = plain_run(1, clip_grad=0.01, lr=1.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    train(tmp_path / "a", chosen, model=model)
    moved = torch.cat([(after - start).flatten() for after, start in zip(model.parameters(), before, strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.01, rel=1e-3)


def test_the_average_is_what_is_saved(tmp_path):
    """The running average starts as a copy after the second step and then moves by a fifth of the difference."""
    model, chosen = plain_run(6, ema_decay=0.8)
    weights = []
    averaged, _ = train(tmp_path / "a", chosen, model=model,
                        after_step=lambda m, _: weights.append(m[0].weight.detach().clone()))  # fmt: skip
    expected = weights[1]
    for weight in weights[2:]:
        expected = 0.8 * expected + 0.2 * weight
    torch.testing.assert_close(averaged[0].weight.detach(), expected)
    assert torch.equal(model[0].weight, weights[-1])


def test_iterations_count_steps_and_epochs_count_passes(tmp_path):
    for changes, expected in (
        ({"epochs": None, "iterations": 5}, 5),
        ({"epochs": 2}, 6),
        ({"epochs": 2, "batch_size": 99}, 2),
    ):
        steps = []
        train(tmp_path / "a", toys.settings(**changes), after_step=lambda _, step, to=steps: to.append(step))
        assert steps == list(range(expected))


class Dying(toys.Points):
    """The process that reads it dies in the eighth batch; at most four are read ahead."""

    reads = 0

    def __getitem__(self, key):
        self.reads += 1
        if torch.utils.data.get_worker_info() and self.reads == 30:
            os._exit(9)
        return super().__getitem__(key)


DYING = """
import sys
from pathlib import Path
import test_train_loop as tests
import training_toys as toys
toys.Points = tests.Dying
tests.train(Path(sys.argv[1]), toys.settings(**tests.KINDS["sgd"], loader_workers=1))
"""


def test_a_reading_process_that_dies_is_named_and_spares_the_state(tmp_path):
    # In a process of its own: PyTorch raises from a signal handler, wherever Python happens to be.
    path, steps = tmp_path / "resume.pt", []
    command = [sys.executable, "-c", DYING, str(path)]
    died = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=300, check=False)
    assert died.returncode == 1
    assert re.search(r"UserError: A process that reads images died .*resume", died.stderr), died.stderr[-2000:]
    model, _ = train(path, toys.settings(**KINDS["sgd"]), after_step=lambda _, step: steps.append(step))
    assert steps[0] >= 2
    assert same(model, uninterrupted("sgd")[0])


def test_a_disk_that_fills_up_is_named_and_spares_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "resume.pt"

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(_, step):
        if step == 5:
            monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(UserError, match=r"resume\.pt: the disk is full"):
        train(path, toys.settings(**KINDS["sgd"]), after_step=fill)
    monkeypatch.undo()
    assert [found.name for found in tmp_path.iterdir()] == ["resume.pt"]
    steps = []
    model, _ = train(path, toys.settings(**KINDS["sgd"]), after_step=lambda _, step: steps.append(step))
    assert steps[0] in (4, 5)  # the state of step 5 may have met the full disk
    assert same(model, uninterrupted("sgd")[0])


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, monkeypatch):
    """States are saved by a clock that cannot be set; the bar only shows nonsense."""
    now = itertools.count(2e9, -3600)
    monkeypatch.setattr("time.time", lambda: next(now))
    monkeypatch.setattr("tqdm.std.time", lambda: next(now))
    with pytest.raises(Killed):
        train(tmp_path / "resume.pt", toys.settings(**KINDS["sgd"]), kill_at=7)
    model, history = train(tmp_path / "resume.pt", toys.settings(**KINDS["sgd"]))
    assert same(model, uninterrupted("sgd")[0])
    assert history == uninterrupted("sgd")[1]
    assert list(progress(range(5), 5, "pictures")) == [0, 1, 2, 3, 4]


def test_no_gradient_of_the_step_before_is_kept_in_memory_through_the_forward_pass():
    kept = []

    def watching(model, batch):
        kept.extend(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
        return cross_entropy(model, batch)

    train("/nonexistent/state", toys.settings(**KINDS["sgd"], save_every_seconds=1e9), objective=watching)
    assert not kept
