"""What a training run is told: optimiser, schedule, lengths and guards."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from seedbed.settings.kinds import AboveZero, Count, Fraction, NotNegative, Positive, Share


@dataclass(frozen=True)
class TrainSettings:
    """Hyperparameters of one training run.

    Attributes:
        epochs, iterations: length of the run; exactly one is set.
        stop_at: share of that length after which the run stops, the schedule unchanged: a network on its way to the
            end; None for the whole.
        batch_size: images in a global batch, over all devices.
        optimizer: ``sgd`` or ``adamw``.
        lr: base learning rate; parameter groups multiply it.
        momentum: SGD's momentum, or AdamW's first beta.
        beta2: AdamW's second beta.
        nesterov: of SGD's momentum.
        weight_decay: decay of the groups that do not set their own.
        schedule: ``constant``, ``cosine`` and ``poly`` (every step), ``cosine_epoch`` and ``poly_epoch`` (once an
            epoch), ``poly_scaled`` (Segmenter's, see `seedbed.train.schedule.scaled_poly`) or ``poly_relative`` (AFA's
            and ToCo's: ``warmup_lr`` is a share of each group's rate, see `seedbed.train.schedule.relative_poly`).
        power: exponent of the polynomial schedules; 1 is linear.
        schedule_extra: steps (epochs, as for ``schedule_lag``) that the schedule is longer than the run, so that it
            ends above its last value; 1 for TransCAM's segmentation network.
        schedule_lag: steps (epochs, of schedules that change once an epoch) that the schedule trails behind; 1 for
            WeakTr's classifier, whose first two epochs both run at the first rate.
        warmup_epochs: linear warm-up from ``warmup_lr``.
        final_lr: where the cosine and polynomial schedules end.
        groups: how parameters are grouped, a name in ``seedbed.train.groups``.
        lr_scales: parameter name prefix -> factor on the learning rate.
        clip_grad: largest gradient norm; 0 switches clipping off.
        ema_decay: decay of the averaged weights that are saved instead of the last ones; 0 switches it off.
        bf16: autocast to bfloat16 on a GPU.
        save_every_seconds: how much work a kill may cost.
        log_every: steps between lines of the history; no weight depends on it.
        compute_threads: CPU threads of one process; on a CPU part of the result, because sums are split over threads.
        loader_workers: processes that decode and augment ahead (0: the training itself does); never part of the result.
            A job's loader has as many as the job has threads, see `following_cores`.
    """

    NEUTRAL: ClassVar[tuple[str, ...]] = ("save_every_seconds", "loader_workers")  # no result depends on them
    # How the parameters are checked against it.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    lr: AboveZero
    batch_size: Positive
    epochs: Positive | None = None
    iterations: Positive | None = None
    optimizer: Literal["sgd", "adamw"] = "adamw"
    momentum: Fraction = 0.9
    nesterov: bool = False
    beta2: Fraction = 0.999
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine", "cosine_epoch", "poly", "poly_epoch", "poly_scaled", "poly_relative"] = (
        "cosine"
    )
    power: AboveZero = 1.0
    schedule_extra: Count = 0
    schedule_lag: Count = 0
    warmup_epochs: NotNegative = 0.0
    warmup_lr: NotNegative = 0.0
    final_lr: NotNegative = 0.0
    groups: Literal["standard", "uniform", "own"] = "standard"
    lr_scales: Mapping[str, float] = field(default_factory=dict)
    clip_grad: NotNegative = 0.0
    ema_decay: Fraction = 0.0
    bf16: bool = True
    save_every_seconds: NotNegative = 60.0
    log_every: Positive = 20
    compute_threads: Positive = 1
    loader_workers: Count = 0
    stop_at: Share | None = None

    def steps_taken(self, total: int) -> int:
        """Steps that a run of ``total`` takes: all, or the first ones, at least one, where it is to stop early."""
        return total if self.stop_at is None else max(1, round(self.stop_at * total))


@dataclass(frozen=True, kw_only=True)
class Training(TrainSettings):
    """A training run with its data and its loss.

    Attributes:
        augment: steps, ``[{name: argument}, ...]``, see `seedbed.data.transforms`.
        loss, loss_options: see `seedbed.train.objectives`.
        split: of the data set to train on.
    """

    augment: list[dict[str, Any]]
    loss: str
    loss_options: dict[str, Any] = field(default_factory=dict)
    split: str = "trainaug"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("set either epochs or iterations, and not both")

    def settings(self) -> dict[str, Any]:
        """Arguments of `TrainSettings`: how steps are taken, without data and loss."""
        return {each.name: getattr(self, each.name) for each in fields(TrainSettings)}


def following_cores(section: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """A network's section whose loader has a process for each of the job's threads; one without processes stays so.

    Args:
        section: with a section ``train``, as plain values.
        threads: of the job.
    """
    train = section["train"]
    return {**section, "train": {**train, "loader_workers": threads if train["loader_workers"] else 0}}
