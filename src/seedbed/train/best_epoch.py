"""Keeping the weights of the epoch that a score likes best, as WeakTr's published code does."""

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seedbed.errors import ParameterError
from seedbed.io.catalogue import Catalogue
from seedbed.train.objectives import Parts

log = logging.getLogger(__name__)

Score = Callable[[nn.Module], float]
"""From a network, which is left as it is, to how good it is: finite, the greater the better."""
CHOICES: Catalogue[Callable[..., Score]] = Catalogue("choice of an epoch", "seedbed.evaluate", "epoch_choice")


def epoch_choice(name: str) -> Callable[[Callable[..., Score]], Callable[..., Score]]:
    """Register the decorated function as what makes the score ``name``.

    It takes the data set's index, the section `keep` as plain values, the name of the network's normalisation, and the
    device.
    """
    return CHOICES.entering(name)


class BestEpoch(nn.Module):
    """An objective that also scores the network after each epoch and keeps a copy of the best, the first of equals.

    The copy and its score are part of the resume state. Training itself goes on as it would without.

    Args:
        objective: whose loss is trained.
        score: of a network.
        per_epoch: steps of an epoch.
    """

    number: Tensor
    best: Tensor
    epoch: Tensor

    def __init__(self, objective: Any, score: Score, per_epoch: int) -> None:
        super().__init__()
        self.objective, self.per_epoch, self._score = objective, per_epoch, score
        self.kept: nn.Module | None = None
        for name, value in (("number", 0), ("epoch", 0)):
            self.register_buffer(name, torch.tensor(value))
        self.register_buffer("best", torch.tensor(-torch.inf, dtype=torch.float64))

    def bind(self, model: nn.Module) -> None:
        """Make room for the copy."""
        if hasattr(self.objective, "bind"):
            self.objective.bind(model)
        self.kept = copy.deepcopy(model).requires_grad_(False)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Parts:
        """The objective's loss."""
        return self.objective(model, batch)

    def after_step(self, model: nn.Module) -> None:
        """Score the network where an epoch ends."""
        if hasattr(self.objective, "after_step"):
            self.objective.after_step(model)
        self.number += 1
        if int(self.number) % self.per_epoch == 0:
            self._compare(model)

    def result(self) -> nn.Module:
        """The network of the best epoch.

        Raises:
            ParameterError: none has ended.
        """
        if self.kept is None or not int(self.epoch):
            raise ParameterError("keep: no epoch has ended, so there is none to choose. Leave it out, or train longer.")
        return self.kept

    def _compare(self, model: nn.Module) -> None:
        score, epoch = self._score(model), int(self.number) // self.per_epoch
        model.train()
        log.info("Epoch %d: %.4f, the best so far is %.4f of epoch %d", epoch, score, float(self.best), int(self.epoch))
        if score > float(self.best):
            self.best.fill_(score)
            self.epoch.fill_(epoch)
            self.result().load_state_dict(model.state_dict())
