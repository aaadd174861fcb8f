"""The polynomial schedule of AFA and ToCo (Ru et al. 2022, 2023): warm-up from a share of each group's rate."""

import torch

from seedbed.settings.optimisation import TrainSettings


class RelativePoly:
    """Sets the rates ``lr (1 - (1 - i / W)(1 - share))`` in the W steps of the warm-up, ``lr (1 - i / N)^power`` after.

    ``share`` is ``settings.warmup_lr``; timm's schedules start all groups at one rate instead. As published, the decay
    is counted from step 0, so that the rate falls where the warm-up ends.

    Args:
        optimizer: whose groups are set; their ``lr`` is the base rate.
        settings: with power and share.
        length: N.
        warmup_length: W.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, settings: TrainSettings, length: int, warmup_length: int
    ) -> None:
        # A resumed optimiser has other groups, with the rates of its last step.
        self._optimizer, self._bases = optimizer, [group["lr"] for group in optimizer.param_groups]
        self._settings, self._length, self._warmup = settings, length, warmup_length

    def step_update(self, num_updates: int) -> None:
        """Set the rates for a step, counted from 0; behind the end they stay."""
        share = self._share(min(num_updates, self._length - 1))
        for group, base in zip(self._optimizer.param_groups, self._bases, strict=True):
            group["lr"] = base * share

    def _share(self, step: int) -> float:
        if step < self._warmup:
            return 1 - (1 - step / self._warmup) * (1 - self._settings.warmup_lr)
        return (1 - step / self._length) ** self._settings.power
