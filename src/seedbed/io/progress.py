"""A progress bar with rate and time left, written to the log of whoever iterates."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, unit: str) -> Iterator[Item]:
    """Yield ``items`` while a bar on standard error counts them."""
    yield from tqdm(items, total=total, unit=f" {unit}", mininterval=5, dynamic_ncols=True)
