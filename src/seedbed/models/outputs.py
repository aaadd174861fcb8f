"""What classifiers return: logits, or logits among other things."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def logits_of(output: Any) -> Tensor:
    """The logits [B, C] that a classifier decides by: its output, or ``output.logits`` of networks that give more."""
    return output if isinstance(output, Tensor) else output.logits


def heads_of(output: Any) -> dict[str, Tensor]:
    """The logits [B, C] of each head by name: ``output.heads`` of networks with several, else `logits_of` alone."""
    return output.heads if hasattr(output, "heads") else {"class": logits_of(output)}


def pixel_scores_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """What gives class scores [B, C, h, w] of pixels: ``pixel_scores`` of networks that have it, else the network."""
    return getattr(model, "pixel_scores", model)
