"""Finished items of a shard that is not whole yet: what a killed job has computed, the next attempt takes over.

They lie beside the shard in ``.<name>.unfinished-<hash>``, a file that only grows: frames of (length, CRC-32,
content), the first of which is the fingerprint of the work. So it is valid at any moment, but for a last frame that a
kill has cut and that is dropped. No rule declares it, so it survives what removes the outputs of an unfinished job;
once the shard is whole, it is removed. The hash is the fingerprint's: attempts with other parameters, inputs or code do
not touch each other's.
"""

import json
import logging
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np

from seedbed.io.atomic import os_errors_explained
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

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Work = TypeVar("Work")
_FRAME = struct.Struct("<QI")  # bytes of the content, and their CRC-32
_SYNC_SECONDS = 5.0
_ARRAY = "__array__"


class Kind(NamedTuple):
    """How items of a shard are kept.

    Attributes:
        pack: from an item to lists, dictionaries, plain values and NumPy arrays.
        unpack: from those (tuples as lists) to an item whose shard has the same bytes.
    """

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


class Unfinished(Generic[Item]):
    """The finished items of one shard; a context that ends well when the shard is whole on disk.

    Args:
        target: the shard; it has one writer at a time.
        fingerprint: what decides the items; see `seedbed.io.fingerprint`.
        circumstances: what else computed them, for the record.
        kind: how items are kept.
    """

    def __init__(
        self,
        target: str | os.PathLike,
        fingerprint: Mapping[str, Any],
        circumstances: Mapping[str, Any],
        kind: Kind,
    ) -> None:
        self._target, self._kind, self._fingerprint = Path(target), kind, plain(fingerprint)
        self._path = self._target.with_name(f".{self._target.name}.unfinished-{short_hash(fingerprint)}")
        self._stream: RawIOBase | None = None
        self._synced = time.monotonic()
        self._blocks: list[tuple[int, int]] = []  # offset and length of each
        self._end, self._count = 0, 0
        self.computed_on: list[dict[str, Any]] = []
        if self._path.exists():
            self._read()
        else:
            self._name_others()
        self._note(circumstances)

    def resume(
        self, works: Sequence[Work], compute: Callable[[Sequence[Work]], Iterable[Item]], block: int = 1
    ) -> Iterator[Item]:
        """Yield the shard's items: those of earlier attempts, then what ``compute`` gives for the rest of ``works``.

        Args:
            works: what is to be done, one for each item.
            compute: gets the ``works`` that are left and yields their items in order.
            block: so many are computed together (see `seedbed.data.index.together`) and are kept together, since the
                last bits of one may depend on the others.

        Raises:
            UserError: the disk is full.
        """
        done = 0
        for start, length in self._blocks:
            for packed in self._content(start, length)["items"]:
                done += 1
                yield self._kind.unpack(packed)
        if done:
            log.info("%d of %d items were finished by an earlier attempt", done, len(works))
        waiting: list[Any] = []
        for item in compute(works[done:]) if done < len(works) else ():
            yield item
            waiting.append(self._kind.pack(item))
            done += 1
            if done % block == 0 or done == len(works):
                self._append({"items": waiting, "from": done - len(waiting)})
                waiting = []

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The shard's record, which names all circumstances where there were several."""
        return with_changes(record, self.computed_on)

    def __enter__(self) -> "Unfinished[Item]":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not None:
            self._stream.close()
        if error is None:
            for path in self._all():
                path.unlink(missing_ok=True)

    def _read(self) -> None:
        """Find the whole frames of an earlier attempt; what a kill has left behind them is cut off by the next one."""
        with self._path.open("rb") as stream:
            for start, length, content in _whole_frames(stream):
                if "items" in content:
                    if content["from"] != self._count:
                        return
                    self._blocks.append((start, length))
                    self._count += len(content["items"])
                elif "circumstances" in content:
                    self.computed_on.append(content["circumstances"])
                self._end = start + length

    def _note(self, circumstances: Mapping[str, Any]) -> None:
        """Remember what computes from here on, and say so where it is something else than before."""
        before = self.computed_on
        self.computed_on = changed(before, circumstances, self._count)
        self._unsaid = self.computed_on[len(before) :]
        if before and self._unsaid:
            notice.warning(
                "%s: going on after %d items under other circumstances (%s); the shard's record names both.",
                self._target,
                self._count,
                spelled_change(self.computed_on),
            )

    def _name_others(self) -> None:
        for path in self._all():
            with path.open("rb") as stream:
                content = next(_whole_frames(stream), (0, 0, {}))[2]
            found = differences(content.get("fingerprint", {}), self._fingerprint)
            notice.warning(
                "%s: starting anew; what an earlier attempt finished is of other parameters, inputs or code (%s). It "
                "is kept as %s until this shard is whole.",
                self._target,
                spell(found),
                path,
            )

    def _all(self) -> list[Path]:
        """Files of all attempts at the target."""
        name = re.compile(rf"\.{re.escape(self._target.name)}\.unfinished-[0-9a-f]{{12}}")
        folder = self._target.parent
        return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []

    def _append(self, content: dict[str, Any]) -> None:
        with os_errors_explained(self._path):
            if self._stream is None:
                self._stream = self._open()
            for part in self._unsaid:
                _write(self._stream, {"circumstances": part})
            self._unsaid = []
            _write(self._stream, content)  # outlives this process; a power cut it outlives by what follows
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._stream.fileno())
                self._synced = time.monotonic()

    def _open(self) -> RawIOBase:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stream = self._path.open("ab", buffering=0)
        stream.truncate(self._end)
        if not self._end:
            _write(stream, {"fingerprint": self._fingerprint})
        return stream

    def _content(self, start: int, length: int) -> Any:
        with self._path.open("rb") as stream:
            stream.seek(start + _FRAME.size)
            return _unpack(stream.read(length - _FRAME.size))


def unfinished(
    target: str | os.PathLike,
    kind: Kind,
    records: Iterable[Any],
    record: Mapping[str, Any],
    **inputs: str | os.PathLike,
) -> Unfinished:
    """What an earlier attempt at a shard has finished, if its parameters, code and inputs were the same.

    Args:
        target: the shard.
        kind: how its items are kept.
        records: the shard's images, each with its id as ``image``.
        record: the shard's provenance, which names parameters, data and code.
        inputs: files that it is made from beside the data set; their contents count, not where they lie.
    """
    contents = {name: file_sha256(path) for name, path in inputs.items()}
    decisive = fingerprint(record, images=short_hash([item.image for item in records]), **contents)
    return Unfinished(target, decisive, circumstances(record), kind)


def _whole_frames(stream: BinaryIO) -> Iterator[tuple[int, int, Any]]:
    """Yield (offset, length with its head, content) of frames until the first that is cut or damaged."""
    start, size = 0, os.fstat(stream.fileno()).st_size
    while len(head := stream.read(_FRAME.size)) == _FRAME.size:
        length, checksum = _FRAME.unpack(head)
        if length > size - start - _FRAME.size or zlib.crc32(content := stream.read(length)) != checksum:
            return
        yield start, _FRAME.size + length, _unpack(content)
        start += _FRAME.size + length


def _write(stream: RawIOBase, value: Any) -> None:
    """Write a frame; a file without a buffer may take a part of it only."""
    content = _pack(value)
    rest = memoryview(_FRAME.pack(len(content), zlib.crc32(content)) + content)
    while len(rest):
        rest = rest[stream.write(rest) :]


def _pack(value: Any) -> bytes:
    """JSON with its length before it, and the bytes of the arrays behind it; whole numbers are compressed."""
    arrays: list[bytes] = []

    def leave(item: Any) -> Any:
        if isinstance(item, np.integer | np.floating):
            return item.item()
        array = np.ascontiguousarray(item)
        if not isinstance(item, np.ndarray) or array.dtype.hasobject:
            raise TypeError(f"{type(item).__name__} cannot be kept")
        data = array.tobytes()
        arrays.append(zlib.compress(data, 1) if array.dtype.kind in "iu" else data)
        return {_ARRAY: [array.dtype.str, item.shape, sum(map(len, arrays[:-1])), len(arrays[-1])]}

    text = json.dumps(value, default=leave).encode()
    return b"".join([struct.pack("<Q", len(text)), text, *arrays])


def _unpack(content: bytes) -> Any:
    (length,) = struct.unpack_from("<Q", content)
    base = 8 + length

    def fill(found: dict[str, Any]) -> Any:
        if found.keys() != {_ARRAY}:
            return found
        dtype, shape, start, size = found[_ARRAY]
        data = content[base + start : base + start + size]
        data = zlib.decompress(data) if np.dtype(dtype).kind in "iu" else data
        return np.frombuffer(data, dtype).reshape(shape)

    return json.loads(content[8:base], object_hook=fill)
