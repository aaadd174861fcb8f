"""Learning rates by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seedbed.settings.optimisation import Training, following_cores
from seedbed.train.resume_identity import deciding_settings
from seedbed.train.schedule import Schedule, build_optimizer, total_steps
from seedbed.train.settings import TrainSettings


def rates(total, per_epoch, scales=None, **changes):
    """The rate of every parameter group at each step."""
    settings = TrainSettings(**{"lr": 0.1, "batch_size": 1, "lr_scales": scales or {}} | changes)
    optimizer = build_optimizer(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), settings)
    schedule = Schedule(optimizer, settings, total, per_epoch)
    found = []
    for step in range(total):
        schedule.before_step(step)
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


def first(found):
    return [groups[0] for groups in found]


def test_constant():
    assert first(rates(5, 2, schedule="constant")) == [0.1] * 5


def test_constant_after_a_warm_up():
    found = first(rates(8, 2, schedule="constant", warmup_epochs=2, warmup_lr=0.02))
    assert found == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.1, 0.1], abs=1e-12)


def test_cosine():
    expected = [0.01 + 0.09 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert first(rates(10, 5, schedule="cosine", final_lr=0.01)) == pytest.approx(expected, abs=1e-12)


def test_cosine_with_warm_up():
    """Four steps up, then the cosine of the whole length from where it is at step 4."""
    warm = [0.0, 0.025, 0.05, 0.075]
    rest = [0.1 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(4, 12)]
    assert first(rates(12, 4, schedule="cosine", warmup_epochs=1)) == pytest.approx(warm + rest, abs=1e-12)


@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
def test_poly_by_step(power):
    expected = [0.1 * (1 - step / 9) ** power for step in range(9)]
    assert first(rates(9, 4, schedule="poly", power=power)) == pytest.approx(expected, abs=1e-12)


def test_poly_that_is_longer_than_the_run():
    """TransCAM's segmentation network: lr * (1 - step / 20,001) ** 0.9 for 20,000 steps."""
    expected = [0.1 * (1 - step / 10) ** 0.9 for step in range(9)]
    assert first(rates(9, 4, schedule="poly", power=0.9, schedule_extra=1)) == pytest.approx(expected, abs=1e-12)


def test_poly_by_epoch_as_vit_affinity_trains():
    """[Re], section 4.3: twenty epochs at lr * (1 - epoch / 20), constant within an epoch."""
    expected = [0.1 * (1 - epoch / 20) for epoch in range(20) for _ in range(7)]
    assert first(rates(20 * 7, 7, schedule="poly_epoch")) == pytest.approx(expected, rel=1e-12)


def test_poly_by_epoch_whose_last_epoch_is_cut_short():
    """Ten steps of three an epoch are four epochs; none of them stands still."""
    expected = [0.1 * (1 - epoch / 4) for epoch in (0, 0, 0, 1, 1, 1, 2, 2, 2, 3)]
    assert first(rates(10, 3, schedule="poly_epoch")) == pytest.approx(expected, rel=1e-12)
    assert first(rates(2, 5, schedule="poly_epoch")) == pytest.approx([0.1, 0.1])


def test_poly_by_epoch_warms_up_by_epochs():
    found = first(rates(12, 3, schedule="poly_epoch", warmup_epochs=2, warmup_lr=0.02))
    assert found == pytest.approx([0.02] * 3 + [0.06] * 3 + [0.1 * 0.5] * 3 + [0.1 * 0.25] * 3, abs=1e-12)


@given(
    st.sampled_from(["constant", "cosine", "poly", "poly_epoch"]),
    st.integers(1, 40),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.5, 2.0]),
)
def test_rates_depend_on_the_step_alone_and_stay_within_bounds(name, total, per_epoch, warmup):
    settings = TrainSettings(lr=0.1, batch_size=1, schedule=name, warmup_epochs=warmup)
    optimizer = build_optimizer(nn.Linear(2, 2), settings)
    schedule = Schedule(optimizer, settings, total, per_epoch)
    forwards = first(rates(total, per_epoch, schedule=name, warmup_epochs=warmup))
    for step in reversed(range(total)):
        schedule.before_step(step)
        assert optimizer.param_groups[0]["lr"] == forwards[step]
        assert 0 <= forwards[step] <= 0.1 + 1e-12


def test_factors_scale_every_step():
    for plain, scaled in zip(rates(6, 2, schedule="poly"), rates(6, 2, {"1.": 10.0}, schedule="poly"), strict=True):
        assert sorted(set(scaled)) == pytest.approx(sorted({plain[0], 10 * plain[0]}))


def test_optimizers_get_their_settings():
    settings = {"lr": 0.1, "batch_size": 1, "weight_decay": 0.02, "momentum": 0.7, "beta2": 0.98}
    model = nn.Linear(2, 2)
    sgd = build_optimizer(model, TrainSettings(optimizer="sgd", **settings))
    adamw = build_optimizer(model, TrainSettings(optimizer="adamw", **settings))
    assert isinstance(sgd, torch.optim.SGD)
    assert isinstance(adamw, torch.optim.AdamW)
    assert {group["momentum"] for group in sgd.param_groups} == {0.7}
    assert {group["betas"] for group in adamw.param_groups} == {(0.7, 0.98)}
    for optimizer in (sgd, adamw):
        assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.02]


def test_length_of_a_run():
    assert total_steps(TrainSettings(lr=1, batch_size=1, epochs=3), 7) == 21
    assert total_steps(TrainSettings(lr=1, batch_size=1, iterations=5), 7) == 5


def test_the_fingerprint_leaves_out_what_cannot_change_the_result():
    base = TrainSettings(lr=1, batch_size=1, epochs=3)
    changes = {"save_every_seconds": 1, "log_every": 3, "loader_workers": 5, "compute_threads": 2}
    neutral = TrainSettings(lr=1, batch_size=1, epochs=3, **changes)  # threads matter on a CPU: see test_train_loop
    assert deciding_settings(base) == deciding_settings(neutral)
    for change in ({"lr": 2}, {"epochs": 4}, {"bf16": False}, {"lr_scales": {"a": 2.0}}):
        other = TrainSettings(**{"lr": 1, "batch_size": 1, "epochs": 3} | change)
        assert deciding_settings(other) != deciding_settings(base)


def test_loader_processes_follow_the_cores_of_a_job():
    section = {"architecture": "any", "train": {"lr": 1.0, "loader_workers": 8}}
    assert following_cores(section, 3)["train"] == {"lr": 1.0, "loader_workers": 3}
    assert following_cores(section, 24)["train"]["loader_workers"] == 24
    assert section["train"]["loader_workers"] == 8
    assert following_cores({"train": {"loader_workers": 0}}, 24)["train"]["loader_workers"] == 0


@pytest.mark.parametrize("name", ["poly", "poly_scaled", "poly_relative"])
def test_a_resumed_run_goes_on_with_its_schedule(name):
    """A resumed optimiser has other groups than the one that the schedule was made for."""
    layers = nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    settings = TrainSettings(
        lr=1.0, batch_size=1, iterations=8, schedule=name, groups="uniform", lr_scales={"head": 10}
    )
    optimizer = build_optimizer(layers, settings)
    schedule = Schedule(optimizer, settings, 8, steps_per_epoch=2)
    schedule.before_step(3)
    optimizer.load_state_dict(optimizer.state_dict())
    schedule.before_step(4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 5])


def test_a_relative_warm_up_starts_at_a_share_of_each_rate():
    layers = nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    settings = TrainSettings(
        lr=1.0, batch_size=1, iterations=8, schedule="poly_relative", power=2, warmup_epochs=1, warmup_lr=0.5,
        groups="uniform", lr_scales={"head": 10},
    )  # fmt: skip
    optimizer = build_optimizer(layers, settings)
    schedule = Schedule(optimizer, settings, 8, steps_per_epoch=2)

    def rates(step):
        schedule.before_step(step)
        return [group["lr"] for group in optimizer.param_groups]

    assert rates(0) == [0.5, 5] and rates(1) == [0.75, 7.5] and rates(4) == [0.25, 2.5]
    assert rates(6) == [0.0625, 0.625] and rates(9) == rates(7) == [1 / 64, 10 / 64]


def test_a_training_tells_how_its_steps_are_taken():
    training = Training(lr=0.1, batch_size=2, epochs=3, augment=[], loss="seam", lr_scales={"head": 10})
    steps = TrainSettings(**training.settings())
    assert steps == TrainSettings(lr=0.1, batch_size=2, epochs=3, lr_scales={"head": 10})
