"""What classifiers return: logits, or logits among other things."""

from typing import Any

from torch import Tensor


def logits_of(output: Any) -> Tensor:
    """The logits [B, C] that a classifier decides by: its output, or ``output.logits`` of networks that give more."""
    return output if isinstance(output, Tensor) else output.logits


def heads_of(output: Any) -> dict[str, Tensor]:
    """The logits [B, C] of each head by name: ``output.heads`` of networks with several, else `logits_of` alone."""
    return output.heads if hasattr(output, "heads") else {"class": logits_of(output)}
