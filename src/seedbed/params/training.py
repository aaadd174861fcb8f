"""Parameters of training: what ``seedbed.train.TrainSettings`` takes, plus data and augmentation."""

from typing import Any, Literal

from pydantic import Field, model_validator

from seedbed.params.base import Fraction, Positive, Section, Steps


class Training(Section):
    """One training run; fields not explained here are those of ``seedbed.train.settings.TrainSettings``."""

    split: str = Field("trainaug", description="split of the data set to train on")
    augment: Steps
    loss: str
    loss_options: dict[str, Any] = {}
    lr: float = Field(gt=0)
    batch_size: Positive
    epochs: Positive | None = None
    iterations: Positive | None = None
    optimizer: Literal["sgd", "adamw"] = "adamw"
    momentum: Fraction = 0.9
    beta2: Fraction = 0.999
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine", "poly", "poly_epoch"] = "cosine"
    power: float = Field(1.0, gt=0)
    schedule_extra: int = Field(0, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
    warmup_lr: float = Field(0.0, ge=0)
    final_lr: float = Field(0.0, ge=0)
    groups: Literal["standard", "uniform", "own"] = "standard"
    lr_scales: dict[str, float] = {}
    clip_grad: float = Field(0.0, ge=0)
    ema_decay: Fraction = 0.0
    bf16: bool = True
    save_every_seconds: float = Field(60.0, ge=0)
    log_every: Positive = 20
    compute_threads: Positive = 1
    loader_workers: int = Field(
        0, ge=0, description="processes that read pictures ahead; 0: the training reads them itself"
    )

    @model_validator(mode="after")
    def _one_length(self) -> "Training":
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("set either epochs or iterations, and not both")
        return self

    def settings(self) -> dict[str, Any]:
        """Keyword arguments of ``TrainSettings``."""
        return self.model_dump(exclude={"split", "augment", "loss", "loss_options"})
