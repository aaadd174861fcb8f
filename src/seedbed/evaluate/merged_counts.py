"""Shards of a measurement brought together, without what it took to count them."""

from collections.abc import Sequence
from typing import Any

from seedbed.evaluate.measurements import MEASUREMENTS, Counts


def merge_protocol(name: str, shards: Sequence[Counts]) -> dict[str, Any]:
    """The metrics of all shards together.

    Raises:
        ParameterError: the measurement is unknown.
        DataError: no image was counted.
    """
    return MEASUREMENTS.find(name).merge(shards)
