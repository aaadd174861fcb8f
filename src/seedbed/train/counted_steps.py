"""Losses that change while a network learns: they count their steps."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class CountedSteps(nn.Module):
    """A loss that knows how many steps it has seen; a resumed run goes on counting, since the count is in its state."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long, device="cpu"))

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(function, recurse)
        self.steps = self.steps.cpu()  # read at every step: from a GPU that would wait for the step before
        return self

    def next_step(self) -> int:
        """Number of this step, from 0; call it once a step."""
        step = int(self.steps)
        self.steps += 1
        return step
