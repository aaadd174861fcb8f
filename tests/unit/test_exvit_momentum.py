"""The momentum branch of eX-ViT: no gradient, its closed form, and training that is killed and goes on."""

from pathlib import Path

import pytest
import torch
from exvit_toys import a_batch, tiny
from torch.utils.data import Dataset
from training_toys import CPU, Killed, same

from seedbed.data.datasets import LabelledPictures
from seedbed.data.transforms import build_transform
from seedbed.train.exvit_objective import ExViTObjective
from seedbed.train.loop import fit
from seedbed.train.settings import TrainSettings

torch.set_num_threads(1)


def test_no_gradient_reaches_the_momentum_branch():
    model, objective = tiny(), ExViTObjective()
    objective.bind(model)
    assert [p for p in objective.parameters() if p.requires_grad] == []
    objective(model, a_batch())[0].backward()
    assert all(p.grad is None for p in objective.branch.parameters())
    assert all(p.grad is not None for p in model.parameters())
    own = {p.data_ptr() for p in objective.branch.parameters()}
    assert not own & {p.data_ptr() for p in model.parameters()}


def test_the_momentum_branch_is_the_closed_form_after_n_steps():
    """m^n e_0 + (1 - m) Σ_k m^(n-k) θ_k."""
    model, objective, momentum, steps = tiny().double(), ExViTObjective(momentum=0.9), 0.9, 7
    start = {name: value.clone() for name, value in model.state_dict().items()}
    objective.bind(model)
    visited = []
    for _ in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        visited.append({name: value.clone() for name, value in model.state_dict().items()})
        objective.after_step(model)
    for name, found in objective.branch.module.state_dict().items():
        expected = momentum**steps * start[name]
        for k, weights in enumerate(visited, start=1):
            expected = expected + (1 - momentum) * momentum ** (steps - k) * weights[name]
        torch.testing.assert_close(found, expected)


class Views(Dataset):
    """Six random images in two noisy views; the noise of a sample comes from its seed."""

    def __len__(self):
        return 6

    def __getitem__(self, key):
        position, seed = key
        picture = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(position))
        noise = 0.1 * torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        return picture + noise[0], picture + noise[1], torch.eye(3)[position % 3]


def train(path, *, kill_at=None, model=None, objective=None):
    """Nine steps of training; killed after ``kill_at`` steps. Returns network, history and the momentum branch."""

    def after_step(_, step):
        if step + 1 == kill_at:
            raise Killed

    settings = TrainSettings(lr=0.01, batch_size=2, epochs=3, save_every_seconds=0.0, log_every=3, loader_workers=0)
    objective = objective or ExViTObjective(momentum=0.8)
    model, history = fit(
        model or tiny(drop_path_rate=0.2), Views(), objective, settings, seed=3, state_path=Path(path),
        fingerprint={}, device=CPU, after_step=after_step,
    )  # fmt: skip
    return model, history, objective.branch.module


def test_a_killed_training_goes_on_with_its_momentum_branch(tmp_path):
    expected_model, expected_history, expected_branch = train(tmp_path / "whole")
    for kill_at in (3, 7):
        with pytest.raises(Killed):
            train(tmp_path / "resume", kill_at=kill_at)
    model, history, branch = train(tmp_path / "resume")
    assert same(model, expected_model)
    assert same(branch, expected_branch)
    assert history == expected_history
    assert set(history.rows[0]) == {"step", "epoch", "lr", "loss", "global", "dis", "div"}
    assert not same(branch, model)


def test_the_momentum_branch_follows_each_optimiser_step(tmp_path):
    """One update a step, after it: two steps by hand."""
    weights, objective = [], ExViTObjective(momentum=0.75)
    model = tiny()
    start = model.head.weight.detach().clone()
    settings = TrainSettings(lr=0.01, batch_size=3, iterations=2, loader_workers=0)
    fit(model, Views(), objective, settings, seed=0, state_path=tmp_path / "state", fingerprint={}, device=CPU,
        after_step=lambda m, _: weights.append(m.head.weight.detach().clone()))  # fmt: skip
    expected = 0.75 * (0.75 * start + 0.25 * weights[0]) + 0.25 * weights[1]
    torch.testing.assert_close(objective.branch.module.head.weight, expected)


def test_the_first_view_is_the_same_with_and_without_a_second(shapes):
    """Rows of table 6 that need no second view see the same images as those that do."""
    records = shapes.split("train")
    transform = build_transform([{"horizontal_flip": 0.5}, {"shift": 8}, {"normalize": "imagenet"}])
    one, two = (LabelledPictures(shapes, records, transform, views=views) for views in (1, 2))
    for key in ((0, 11), (1, 12), (2, 13)):
        first, second, labels = two[key]
        assert torch.equal(one[key][0], first)
        assert torch.equal(one[key][1], labels)
        assert not torch.equal(first, second)
