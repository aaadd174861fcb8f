"""Ground truth as masks: what a segmentation network learns under full supervision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seedbed.data.images import read_mask
from seedbed.data.index import Record
from seedbed.errors import DataError
from seedbed.refine.refiners import Given, MakeMasks, Words, refiner


@refiner("truth", maps=False, truth=True)
@dataclass(frozen=True, kw_only=True)
class Truth:
    """Ground truth as masks, void included: the fully supervised bound of a segmentation table."""

    def describe(self, words: Words) -> str:
        """See `Refiner`."""
        return "ground truth as masks: full supervision"

    def start(self, given: Given) -> MakeMasks:
        """See `Refiner`.

        Raises:
            DataError: when an image without ground truth is met.
        """
        index = given.index

        def make(records: Sequence[Record]) -> Iterator[tuple[str, np.ndarray]]:
            for record in records:
                if record.mask is None:
                    raise DataError(
                        f"{index.root}: image '{record.image}' has no ground-truth mask; full supervision needs one."
                    )
                yield record.image, read_mask(index.root / record.mask, record.size, len(index.classes))

        return make
