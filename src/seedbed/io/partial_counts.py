"""What a measurement has counted of an unfinished shard (`seedbed.io.partial`), and after how many images."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from seedbed.io.atomic import write_text
from seedbed.io.partial import Unfinished

log = logging.getLogger(__name__)
Work = TypeVar("Work")
Counts = dict[str, Any]
_SAVE_SECONDS = 10.0
_LONGEST = 64  # blocks between two looks at the clock


class UnfinishedCounts(Unfinished):
    """The counts of the first images of one shard, as plain values."""

    counts: Counts | None = None

    def resume(
        self,
        works: Iterable[Work],
        total: int,
        count: Callable[[Iterator[Work], Counts | None], Counts],
        block: int = 1,
    ) -> Counts:
        """Count all ``works``, from where an earlier attempt was; about every ten seconds the counts are saved.

        Args:
            works: what is to be counted.
            total: how many they are.
            count: gets the next of them and the counts of those before (None at the start), and returns the counts of
                all so far; however the works are divided, the sums must be the same, bit for bit.
            block: so many are computed together (see `seedbed.data.index.together`) and are never parted.

        Raises:
            UserError: the disk is full.
        """
        rest, done, counts = iter(works), self.done, self.counts
        for _ in islice(rest, done):
            pass
        if done:
            log.info("%d of %d images were counted by an earlier attempt", done, total)
        blocks, saved = 1, time.monotonic()
        while done < total or counts is None:
            began = time.monotonic()
            counts = count(islice(rest, blocks * block), counts)
            done = min(total, done + blocks * block)
            now = time.monotonic()
            if now - began < _SAVE_SECONDS / 2:
                blocks = min(2 * blocks, _LONGEST)
            if now - saved > _SAVE_SECONDS and done < total:
                self._save(done, counts)
                saved = time.monotonic()
        return counts

    def _save(self, done: int, counts: Counts) -> None:
        kept = {"fingerprint": self.fingerprint, "computed_on": self.computed_on, "done": done, "counts": counts}
        write_text(self.path, json.dumps(kept))

    def _read(self) -> None:
        kept = _content(self.path)
        if kept is not None:
            self.done, self.counts, self.computed_on = kept["done"], kept["counts"], kept["computed_on"]

    @staticmethod
    def _owner(path: Path) -> Any:
        return (_content(path) or {}).get("fingerprint")


def _content(path: Path) -> Any:
    """What a file holds; None if it is damaged: it was written whole, but not by a disk that fails."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
