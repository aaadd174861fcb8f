"""A network, data and an objective small enough to train hundreds of times in a test."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from seedbed.data.datasets import LabelledPictures
from seedbed.data.transforms import build_transform
from seedbed.train.loop import fit
from seedbed.train.settings import TrainSettings

CPU = torch.device("cpu")


class Points(Dataset):
    """Fifteen noisy points in the plane of three classes; the noise of a sample comes from its seed."""

    def __len__(self):
        return 15

    def __getitem__(self, key):
        position, seed = key
        noise = torch.randn(2, generator=torch.Generator().manual_seed(seed))
        return torch.tensor([position % 3, position % 5]) + 0.3 * noise, torch.tensor(position % 3)


def network(seed=0):
    """Dropout and batch statistics are in it: both must go on where a killed run stopped."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def cross_entropy(model, batch):
    points, labels = batch
    loss = F.cross_entropy(model(points), labels)
    return loss, {"half": loss.detach() / 2}


class WithMemory(nn.Module):
    """An objective with a state of its own: a running mean of the logits, and a slow copy of the last bias."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def bind(self, model):
        """Start the copy from the network as it is now."""
        self.register_buffer("slow", model[4].bias.detach().clone())

    def after_step(self, model):
        """Follow the network."""
        self.slow.lerp_(model[4].bias.detach(), 0.2)

    def forward(self, model, batch):
        logits = model(batch[0])
        self.mean.mul_(0.9).add_(logits.detach().mean(0), alpha=0.1)
        drift = (logits.mean(0) - self.mean).square().sum() + (model[4].bias - self.slow).abs().sum()
        return F.cross_entropy(logits, batch[1]) + drift, {}


class Killed(BaseException):
    """Nothing that a program would catch."""


def settings(**changes):
    return TrainSettings(**{"lr": 0.05, "batch_size": 4, "epochs": 4, "save_every_seconds": 0.0, "log_every": 3,
                            "loader_workers": 0} | changes)  # fmt: skip


def train(state_path, chosen=None, *, model=None, objective=cross_entropy, kill_at=None, seed=1, **more):
    """Train the toy; ``kill_at`` ends it after that many steps of this call's run."""

    def after_step(_, step):
        if step + 1 == kill_at:
            raise Killed

    options = {"fingerprint": {"data": "d"}, "device": CPU, "after_step": after_step, **more}
    return fit(model or network(), Points(), objective, chosen or settings(), seed=seed,
               state_path=Path(state_path), **options)  # fmt: skip


def same(one, other):
    """Whether two networks hold the same bits."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def trained_on_pictures(pictures, model, objective, state_path):
    """A network after eight steps on labelled pictures, its history, and its parameters before."""
    data = LabelledPictures(pictures, pictures.split("trainaug"), build_transform([{"normalize": "imagenet"}]))
    settings = TrainSettings(lr=0.003, batch_size=4, epochs=4, weight_decay=0.01, log_every=1)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    given = {"state_path": state_path, "device": CPU, "fingerprint": {}}
    trained, history = fit(model, data, objective, settings, seed=0, **given)
    assert len(history.rows) == 8
    return trained, history, before
