"""What a training run is told: optimiser, schedule, lengths and guards."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class TrainSettings:
    """Hyperparameters of one training run.

    Attributes:
        epochs, iterations: length of the run; exactly one is set.
        batch_size: pictures in a global batch, over all devices.
        optimizer: ``sgd`` or ``adamw``.
        lr: base learning rate; parameter groups multiply it.
        momentum: SGD's momentum, or AdamW's first beta.
        beta2: AdamW's second beta.
        weight_decay: decay of the groups that do not set their own.
        schedule: ``constant``, ``cosine``, ``poly`` (every step) or ``poly_epoch`` (once an epoch).
        power: exponent of the polynomial schedules; 1 is linear.
        schedule_extra: steps (epochs of ``poly_epoch``) that the schedule is longer than the run, so that it ends above
            its last value; 1 for TransCAM's segmentation network.
        warmup_epochs: linear warm-up from ``warmup_lr``.
        final_lr: where the cosine schedule ends.
        groups: how parameters are grouped, a name in ``seedbed.train.groups``.
        lr_scales: parameter name prefix -> factor on the learning rate.
        clip_grad: largest gradient norm; 0 switches clipping off.
        ema_decay: decay of the averaged weights that are saved instead of the last ones; 0 switches it off.
        bf16: autocast to bfloat16 on a GPU.
        save_every_seconds: how much work a kill may cost.
        log_every: steps between lines of the history.
        compute_threads: CPU threads of one process; part of the result, because sums are split over threads.
        loader_workers: processes that decode and augment ahead (0: the training itself does); never part of the result.
    """

    lr: float
    batch_size: int
    epochs: int | None = None
    iterations: int | None = None
    optimizer: Literal["sgd", "adamw"] = "adamw"
    momentum: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "poly", "poly_epoch"] = "cosine"
    power: float = 1.0
    schedule_extra: int = 0
    warmup_epochs: float = 0.0
    warmup_lr: float = 0.0
    final_lr: float = 0.0
    groups: str = "standard"
    lr_scales: Mapping[str, float] = field(default_factory=dict)
    clip_grad: float = 0.0
    ema_decay: float = 0.0
    bf16: bool = True
    save_every_seconds: float = 60.0
    log_every: int = 20
    compute_threads: int = 1
    loader_workers: int = 0

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole run."""
        return self.iterations if self.iterations is not None else self.epochs * steps_per_epoch

    def fingerprint(self) -> dict[str, Any]:
        """The settings that decide the result; a resume state made under others is not continued."""
        neutral = ("save_every_seconds", "loader_workers")
        return {key: value for key, value in asdict(self).items() if key not in neutral}
