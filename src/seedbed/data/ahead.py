"""Work done a little ahead of its use, by a few threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(items: Iterable[Item], work: Callable[[Item], Result], threads: int = 2, depth: int = 16) -> Iterator:
    """Yield ``work(item)`` in order, computed by a few threads at most ``depth`` items ahead.

    Exceptions of ``work`` are raised where its result would have come.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
