"""Unfinished shards: what a killed job has computed lies beside the shard, and the next attempt takes it over.

It lies in ``.<name>.unfinished-<hash>``. No rule declares that file, so it survives what removes the outputs of an
unfinished job; once the shard is whole, it is removed. The hash is that of the work's fingerprint: attempts with other
parameters, inputs or code do not touch each other's. `seedbed.io.partial_items` keeps items, such as masks,
`seedbed.io.partial_counts` what a measurement has counted.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from seedbed.io.fingerprint import (
    changed,
    circumstances,
    differences,
    fingerprint,
    plain,
    short_hash,
    spell,
    spelled_change,
    with_changes,
)
from seedbed.io.notice import notice
from seedbed.io.provenance import file_sha256


class Unfinished:
    """What is finished of one shard; a context that ends well when the shard is whole on disk.

    Args:
        target: the shard; it has one writer at a time.
        fingerprint: what decides the shard; see `seedbed.io.fingerprint`.
        circumstances: what else computed it, for the record.
    """

    def __init__(
        self, target: str | os.PathLike, fingerprint: Mapping[str, Any], circumstances: Mapping[str, Any]
    ) -> None:
        self.target, self.fingerprint = Path(target), plain(fingerprint)
        self.path = self.target.with_name(f".{self.target.name}.unfinished-{short_hash(fingerprint)}")
        self.done = 0
        self.computed_on: list[dict[str, Any]] = []
        if self.path.exists():
            self._read()
        else:
            self._name_others()
        self._note(circumstances)

    @classmethod
    def of_job(
        cls,
        target: str | os.PathLike,
        records: Iterable[Any],
        record: Mapping[str, Any],
        **inputs: str | Path,
    ) -> Self:
        """What an earlier attempt at a shard has finished, if its parameters, code and inputs were the same.

        Args:
            target: the shard.
            records: the shard's images, each with its id as ``image``.
            record: the shard's provenance, which names parameters, data and code.
            inputs: files that it is made from beside the data set; their contents count, not where they lie.
        """
        contents: dict[str, Any] = {name: file_sha256(path) for name, path in inputs.items()}
        decisive = fingerprint(record, images=short_hash([item.image for item in records]), **contents)
        return cls(target, decisive, circumstances(record))

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The shard's record, which names all circumstances where there were several."""
        return with_changes(record, self.computed_on)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            for path in self._all():
                path.unlink(missing_ok=True)

    def _read(self) -> None:
        """Find in ``path`` how many images are ``done``, and what they were ``computed_on``."""
        raise NotImplementedError

    @staticmethod
    def _owner(path: Path) -> Any:
        """The fingerprint in a file of this kind; None if it cannot be read."""
        raise NotImplementedError

    def _note(self, circumstances: Mapping[str, Any]) -> None:
        """Remember what computes from here on, and say so where it is something else than before."""
        before = self.computed_on
        self.computed_on = changed(before, circumstances, self.done)
        if before and len(self.computed_on) > len(before):
            notice.warning(
                "%s: going on after %d images under other circumstances (%s); the shard's record names both.",
                self.target,
                self.done,
                spelled_change(self.computed_on),
            )

    def _name_others(self) -> None:
        for path in self._all():
            notice.warning(
                "%s: starting anew; what an earlier attempt finished is of other parameters, inputs or code (%s). It "
                "is kept as %s until this shard is whole.",
                self.target,
                spell(differences(self._owner(path) or {}, self.fingerprint)),
                path,
            )

    def _all(self) -> list[Path]:
        """Files of all attempts at the target."""
        name = re.compile(rf"\.{re.escape(self.target.name)}\.unfinished-[0-9a-f]{{12}}")
        folder = self.target.parent
        return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []
