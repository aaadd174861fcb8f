"""Images as a classifier that is measured itself sees them, read ahead of use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from seedbed.data.ahead import read_ahead
from seedbed.data.images import read_picture
from seedbed.data.index import DataIndex, Record
from seedbed.data.views import InputView, view


def shown_inputs(index: DataIndex, records: Iterable[Record], settings: InputView) -> Iterator[tuple[Record, Tensor]]:
    """Each record with its image as float32 [3, h, w], normalised, in order.

    Args:
        index, records: the images.
        settings: how an image is brought to the network.
    """

    def shown(record: Record) -> tuple[Record, Tensor]:
        picture = read_picture(index.root / record.path)
        options: dict[str, Any] = {"interpolation": settings.interpolation, "normalisation": settings.normalize}
        return record, view(picture, size=settings.size, **options)

    return read_ahead(records, shown)
