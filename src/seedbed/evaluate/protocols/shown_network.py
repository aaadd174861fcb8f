"""What a measurement of a classifier itself works on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView
from seedbed.evaluate.image_means import ImageMeans, Numbers
from seedbed.evaluate.shown_inputs import shown_inputs


class ShownNetwork(NamedTuple):
    """A network that evaluates, the shard's images, how they are brought to it, and what was counted before."""

    model: nn.Module
    index: DataIndex  # type: ignore[assignment]  # hides tuple.index
    records: Sequence[Record]
    view: InputView
    device: torch.device
    begun: Mapping[str, Any] | None = None

    def each(self, measure: Callable[[Tensor, Record], Numbers]) -> dict[str, Any]:
        """What is measured of each image, added to what was counted before, for `ImageMeans`.

        Args:
            measure: takes an image [1, 3, h, w] on the device, normalised, and its record.
        """
        found = ImageMeans.from_dict(self.begun) if self.begun else ImageMeans()
        for record, pixels in shown_inputs(self.index, self.records, self.view):
            found.add(record.image, measure(pixels[None].to(self.device), record))
        return found.to_dict()
