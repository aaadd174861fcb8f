"""What units of work cost, counted by `python benchmarks/count.py`: operations and bytes, or seconds of a core."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

from seedbed.io.atomic import read_json


class Count(NamedTuple):
    """Of one image.

    Attributes:
        flops: floating-point operations of products, convolutions and attention.
        bytes: read and written by operators.
        kernels: operators that compute, of a whole batch.
        step_bytes: bytes of a whole batch that do not grow with it: the optimiser's.
        seconds: of one core; all others are 0 then.
    """

    flops: float = 0.0
    bytes: float = 0.0
    kernels: float = 0.0
    step_bytes: float = 0.0
    seconds: float = 0.0


FILE = "counted.json"


@cache
def counted() -> Mapping[str, Count]:
    """Every count, by the key of its unit."""
    with resources.as_file(resources.files("seedbed.plan.forecasts").joinpath(FILE)) as path:
        return {key: Count(**entry["count"]) for key, entry in read_json(path).items()}
