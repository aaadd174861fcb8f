"""What a measurement of a classifier itself works on."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView


class ShownNetwork(NamedTuple):
    """A network that evaluates, the shard's images, how they are brought to it, and what was counted before."""

    model: nn.Module
    index: DataIndex  # type: ignore[assignment]  # hides tuple.index
    records: Sequence[Record]
    view: InputView
    device: torch.device
    begun: Mapping[str, Any] | None = None
