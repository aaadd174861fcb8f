"""Keeping the weights of the best epoch: the same training, and the copy survives a resume."""

import pytest
import torch
from torch import nn

from seedbed.errors import ParameterError
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.best_epoch import BestEpoch
from seedbed.train.loop import fit

SETTINGS = TrainSettings(lr=0.1, batch_size=2, epochs=4, optimizer="sgd", schedule="constant", save_every_seconds=0)


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, key):
        return (torch.full((1,), float(key[0] + 1)),)


def squares(model, batch):
    return (model(batch[0]) ** 2).mean(), {}


def trained(path, objective, **options):
    torch.manual_seed(0)
    given = {"seed": 0, "state_path": path, "fingerprint": {}, "device": torch.device("cpu"), **options}
    return fit(nn.Linear(1, 1), Numbers(), objective, SETTINGS, **given)[0]


class Liked:
    """Likes the second and the third epoch, the second first, and remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, model):
        self.seen.append(model.weight.item())
        return {2: 1.0, 3: 1.0}.get(len(self.seen), 0.0)


def test_the_best_epoch_is_kept_and_training_is_the_same(tmp_path):
    plain = trained(tmp_path / "plain", squares)
    choice = BestEpoch(squares, like := Liked(), 3)
    last = trained(tmp_path / "chosen", choice)
    assert torch.equal(last.weight, plain.weight)
    assert len(like.seen) == 4 and int(choice.epoch) == 2 and float(choice.best) == 1.0
    assert choice.result().weight.item() == like.seen[1] != last.weight.item()


def test_the_copy_survives_a_resume(tmp_path):
    whole = BestEpoch(squares, Liked(), 3)
    trained(tmp_path / "whole", whole)

    class Killed(Exception):
        pass

    def kill(model, step):
        if step == 7:
            raise Killed

    first = BestEpoch(squares, like := Liked(), 3)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", first, after_step=kill)
    second = BestEpoch(squares, again := Liked(), 3)
    again.seen = list(like.seen)
    trained(tmp_path / "killed", second)
    assert torch.equal(second.result().weight, whole.result().weight) and int(second.epoch) == 2
    assert int(second.number) == 12


def test_without_an_epoch_there_is_nothing_to_choose():
    choice = BestEpoch(squares, Liked(), 3)
    choice.bind(nn.Linear(1, 1))
    with pytest.raises(ParameterError, match="no epoch has ended"):
        choice.result()
