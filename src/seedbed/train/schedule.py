"""Optimiser and learning-rate schedule from the settings; the schedules are timm's."""

from collections.abc import Callable
from typing import Any

import torch
from timm.scheduler import CosineLRScheduler, PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn

from seedbed.errors import ParameterError
from seedbed.settings.optimisation import TrainSettings
from seedbed.train.groups import parameter_groups


def build_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return SGD or AdamW over the network's parameter groups; each group's ``lr`` already holds its factor."""
    groups = parameter_groups(settings.groups, model, settings.weight_decay, settings.lr_scales)
    for group in groups:
        group["lr"] = settings.lr * group.pop("lr_scale", 1.0)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, settings.beta2))


def total_steps(settings: TrainSettings, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run, by which the schedule is laid out."""
    if settings.iterations is not None:
        return settings.iterations
    if settings.epochs is None:
        raise ParameterError("A training needs its length: epochs or iterations.")
    return settings.epochs * steps_per_epoch


class Schedule:
    """Sets the learning rates before each step, from the step's number alone.

    Args:
        optimizer: whose groups are set.
        settings: name and shape of the schedule.
        total_steps: steps of the whole run.
        steps_per_epoch: steps of one pass over the data.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, settings: TrainSettings, total_steps: int, steps_per_epoch: int
    ) -> None:
        self._stride = steps_per_epoch if settings.schedule.endswith("_epoch") else 1
        self._lag = settings.schedule_lag
        length = -(-total_steps // self._stride) + settings.schedule_extra  # an epoch that is cut short counts
        self._scheduler = _build(
            optimizer, settings, length, round(settings.warmup_epochs * steps_per_epoch / self._stride)
        )

    def before_step(self, step: int) -> None:
        """Set the rates for step ``step``, counted from 0."""
        if self._scheduler is not None:
            self._scheduler.step_update(max(0, step // self._stride - self._lag))


class GroupRates:
    """Sets every group to a share of its own base rate, where timm's schedules bring all groups to one value.

    Args:
        optimizer: whose groups are set; their ``lr`` is the base rate.
        share: from a step, counted from 0, to what it takes of the base rates.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, share: Callable[[int], float]) -> None:
        # A resumed optimiser has other groups, with the rates of its last step.
        self._optimizer, self._bases = optimizer, [group["lr"] for group in optimizer.param_groups]
        self._share = share

    def step_update(self, num_updates: int) -> None:
        """Set the rates for a step, counted from 0."""
        share = self._share(num_updates)
        for group, base in zip(self._optimizer.param_groups, self._bases, strict=True):
            group["lr"] = base * share


def scaled_poly(settings: TrainSettings, length: int, warmup: int) -> Callable[[int], float]:
    """Segmenter's polynomial schedule (Strudel et al., ICCV 2021), as published: the share of a rate at a step.

    A group's factor scales the whole curve, ``final_lr`` too. The warm-up rises from ``final_lr`` to where the curve is
    at its end; ``warmup_lr`` does not count.
    """
    last = settings.final_lr / settings.lr

    def share(step: int) -> float:
        part = (1 - (warmup if step < warmup else min(step, length)) / length) ** settings.power
        return last + (1 - last) * (part * step / warmup if step < warmup else part)

    return share


def relative_poly(settings: TrainSettings, length: int, warmup: int) -> Callable[[int], float]:
    """AFA's and ToCo's polynomial schedule (Ru et al. 2022, 2023): the share of a rate at a step.

    In the W steps of the warm-up, from the share ``warmup_lr``, it is ``1 - (1 - i / W)(1 - warmup_lr)``, after them
    ``(1 - i / N)^power``. As published, the decay is counted from step 0, so that rates fall where the warm-up ends;
    behind the end they stay.
    """

    def share(step: int) -> float:
        step = min(step, length - 1)
        if step < warmup:
            return 1 - (1 - step / warmup) * (1 - settings.warmup_lr)
        return (1 - step / length) ** settings.power

    return share


def _build(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, length: int, warmup_length: int
) -> Scheduler | GroupRates | None:
    warmup: dict[str, Any] = {"warmup_t": warmup_length, "warmup_lr_init": settings.warmup_lr, "t_in_epochs": False}
    if settings.schedule == "poly_scaled":
        return GroupRates(optimizer, scaled_poly(settings, length, warmup_length))
    if settings.schedule == "poly_relative":
        return GroupRates(optimizer, relative_poly(settings, length, warmup_length))
    if settings.schedule in ("cosine", "cosine_epoch"):
        return CosineLRScheduler(optimizer, t_initial=length, lr_min=settings.final_lr, **warmup)
    if settings.schedule in ("poly", "poly_epoch"):
        return PolyLRScheduler(optimizer, t_initial=length, power=settings.power, lr_min=settings.final_lr, **warmup)
    if warmup_length:
        # A cosine of infinite length is constant after its warm-up.
        return CosineLRScheduler(optimizer, t_initial=10**12, **warmup)
    return None
