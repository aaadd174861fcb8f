"""One training run between its steps: network, optimiser, schedule, averages and history."""

import csv
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from seedbed.errors import UserError
from seedbed.io.atomic import write_text
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.ranks import Ranks, average_gradients, check_agreement, divided_forward, gather
from seedbed.train.schedule import Schedule, build_optimizer


class Objective(Protocol):
    """Turns a batch into a loss. Networks it needs beside the trained one (a momentum branch) are its sub-modules.

    Two methods are optional: ``bind(model)`` is called once, before a resume state is restored, ``after_step(model)``
    after each optimiser step.
    """

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its named parts (detached scalars)."""


class NotFiniteError(UserError):
    """The loss or a weight became NaN or infinite."""


@dataclass
class History:
    """Lines of the training history; a line averages the steps since the one before.

    Attributes:
        rows: the lines.
        computed_on: the circumstances of the run, each with the step ``from`` which they held; see
            `seedbed.io.fingerprint`.
        kept: the ``epoch`` whose weights are kept and its ``score``, where one was chosen.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    computed_on: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write ``history.csv``: step, epoch, lr, loss and its parts. It holds no times: same run, same bytes."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in self.rows)
        write_text(path, text.getvalue())


class Run:
    """The state of a run between steps, and what one step does to it."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: TrainSettings,
        device: torch.device,
        total: int,
        per_epoch: int,
        ranks: Ranks,
    ) -> None:
        self.settings, self.device, self.total, self.per_epoch = settings, device, total, per_epoch
        self.last = settings.steps_taken(total)
        self.ranks = ranks
        self.model = model.to(device).train()
        if hasattr(objective, "bind"):
            objective.bind(self.model)
        self.objective = objective.to(device) if isinstance(objective, nn.Module) else objective
        self.optimizer = build_optimizer(model, settings)
        self.schedule = Schedule(self.optimizer, settings, total, per_epoch)
        self.ema = ModelEmaV3(model, decay=settings.ema_decay) if settings.ema_decay else None
        self.networks = [self.model, *_averages(self.objective)]
        self.history = History()
        self.step = 0
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def whole_batch(self, batch: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
        """The ``count`` images of a batch on the device: what this rank has read, and what the others have."""
        batch = tuple(part.to(self.device, non_blocking=True) for part in batch)
        return tuple(gather(part, count, self.ranks) for part in batch) if self.ranks.size > 1 else batch

    def train_step(self, batch: tuple[Tensor, ...]) -> dict[str, float]:
        """One optimiser step; returns the history line where one is due, else nothing."""
        self.schedule.before_step(self.step)
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        # Before the forward pass: at its memory's peak no gradient of the step before is still there.
        self.optimizer.zero_grad(set_to_none=True)
        autocast = self.settings.bf16 and self.device.type == "cuda"
        divided = divided_forward(self.networks, self.ranks)
        with divided, torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            loss, parts = self.objective(self.model, batch)
        loss.backward()
        if self.ranks.size > 1:
            average_gradients(list(self.model.parameters()), self.ranks)
        if self.settings.clip_grad:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_grad)
        self.optimizer.step()
        after_step = getattr(self.objective, "after_step", None)
        if after_step is not None:
            after_step(self.model)
        if self.ema is not None:
            self.ema.update(self.model, self.step)
        self.step += 1
        self._accumulate({"loss": loss.detach(), **parts})
        if self.step % self.settings.log_every == 0 or self.step == self.last:
            return self._log_line(rate)
        return {}

    def result(self) -> nn.Module:
        """The network to save: its running average, if the settings ask for one."""
        return self.ema.module if self.ema is not None else self.model

    def check_finite(self) -> None:
        """Raise if the loss since the last line is not finite."""
        if self._count and not math.isfinite(float(self._sums["loss"])):
            self._fail(f"The loss became {float(self._sums['loss'])}")

    def check_weights(self) -> None:
        """Raise if a weight is not finite: an update can spoil it although the loss before was finite."""
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                self._fail(f"'{name}' is not finite any more")

    def state(self) -> dict[str, Any]:
        """Everything a resume needs, as tensors and plain values."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict() if isinstance(self.objective, nn.Module) else {},
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else {},
            "history": self.history.rows,
            "computed_on": self.history.computed_on,
            "sums": self._sums,
            "count": self._count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        if isinstance(self.objective, nn.Module):
            self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.history = History(state["history"], state["computed_on"])
        self._sums = {key: value.to(self.device) for key, value in state["sums"].items()}
        self._count = state["count"]

    def _fail(self, what: str) -> None:
        raise NotFiniteError(
            f"{what} by step {self.step} of {self.last}. Lower the learning rate (lr), clip gradients (clip_grad), "
            "or switch bf16 off; the log shows the loss before."
        )

    def _accumulate(self, parts: dict[str, Tensor]) -> None:
        for key, value in parts.items():
            value = value.detach().double()
            self._sums[key] = self._sums[key] + value if key in self._sums else value
        self._count += 1

    def _log_line(self, rate: float) -> dict[str, float]:
        self.check_finite()
        if self.ranks.size > 1:
            check_agreement(self.model, self.ranks, self.step)
        means = {key: float(value) / self._count for key, value in self._sums.items()}
        line = {"step": self.step, "epoch": self.step / self.per_epoch, "lr": rate, **means}
        self.history.rows.append(line)
        self._sums, self._count = {}, 0
        return line


def _averages(objective: Objective) -> list[nn.Module]:
    """Networks that an objective keeps as running averages; they take a forward pass of the whole batch."""
    modules = objective.modules() if isinstance(objective, nn.Module) else ()
    return [module.module for module in modules if isinstance(module, ModelEmaV3)]
