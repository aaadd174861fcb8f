"""Work on many files by several processes, in order and in bounded memory."""

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Self, TypeVar

from seedbed.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 3
"""Chunks that wait for each process."""


class Workers:
    """A context of ``count`` processes, forked on entry, so that what is read later is not copied into them.

    They are forked because a script that Snakemake runs cannot be imported anew, as the other ways of starting demand.

    Args:
        count: processes; 1 works in this one; None takes the processors that this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or _processors()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.count > 1:
            fork = multiprocessing.get_context("fork")
            self._pool = ProcessPoolExecutor(self.count, fork, initializer=_end_with, initargs=(os.getpid(),))
            self._pool.submit(int).result()
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item], chunk: int = 16) -> Iterator[Result]:
        """Yield ``work(item)`` in order; items are taken a few chunks ahead of what is yielded.

        Args:
            work: a function or object that can be pickled; an error it raises is raised here.
            items: what to work on.
            chunk: items that go to a process at once.

        Raises:
            UserError: a process died, most likely for want of memory.
        """
        if self._pool is None:
            yield from map(work, items)
            return
        source = iter(items)
        chunks = iter(lambda: list(islice(source, chunk)), [])
        waiting: deque[Future] = deque()
        try:
            for part in chunks:
                waiting.append(self._pool.submit(_each, work, part))
                if len(waiting) >= _AHEAD * self.count:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"One of {self.count} worker processes died, most likely for want of memory. Use fewer, or more memory."
            ) from None


def _end_with(parent: int) -> None:
    """End this process soon after its parent is gone: killed, that cannot say so, and a lock that both hold stays."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _processors() -> int:
    """Processors that this process may use; all of them where the system does not tell."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _each(work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return [work(item) for item in items]
