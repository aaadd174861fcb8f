"""Finished items of an unfinished shard (`seedbed.io.partial`), in a file that only grows.

It is made of frames of (length, CRC-32, content), the first of which is the fingerprint of the work. So it is valid at
any moment, but for a last frame that a kill has cut and that is dropped.
"""

import json
import logging
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

import numpy as np

from seedbed.io.atomic import os_errors_explained
from seedbed.io.partial import Unfinished

log = logging.getLogger(__name__)
Work = TypeVar("Work")
_FRAME = struct.Struct("<QI")  # bytes of the content, and their CRC-32
_SYNC_SECONDS = 5.0
_ARRAY = "__array__"


class UnfinishedItems(Unfinished):
    """The finished items of one shard. A class for each kind of item says how it is kept."""

    def __init__(self, *arguments: Any) -> None:
        self._stream: RawIOBase | None = None
        self._synced = time.monotonic()
        self._blocks: list[tuple[int, int]] = []  # offset and length of each
        self._end, self._said = 0, 0
        super().__init__(*arguments)

    @staticmethod
    def pack(item: Any) -> Any:
        """From an item to lists, dictionaries, plain values and NumPy arrays."""
        raise NotImplementedError

    @staticmethod
    def unpack(values: Any) -> Any:
        """From those (tuples as lists) to an item whose shard has the same bytes."""
        raise NotImplementedError

    def resume(
        self, works: Sequence[Work], compute: Callable[[Sequence[Work]], Iterable[Any]], block: int = 1
    ) -> Iterator[Any]:
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
                yield self.unpack(packed)
        if done:
            log.info("%d of %d images were finished by an earlier attempt", done, len(works))
        waiting: list[Any] = []
        for item in compute(works[done:]) if done < len(works) else ():
            yield item
            waiting.append(self.pack(item))
            done += 1
            if done % block == 0 or done == len(works):
                self._append({"items": waiting, "from": done - len(waiting)})
                waiting = []

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not None:
            self._stream.close()
        super().__exit__(kind, error, trace)

    def _read(self) -> None:
        """Find the whole frames of an earlier attempt; what a kill has left behind them is cut off by the next one."""
        with self.path.open("rb") as stream:
            for start, length, content in _whole_frames(stream):
                if "items" in content:
                    if content["from"] != self.done:
                        break
                    self._blocks.append((start, length))
                    self.done += len(content["items"])
                elif "circumstances" in content:
                    self.computed_on.append(content["circumstances"])
                self._end = start + length
        self._said = len(self.computed_on)

    @staticmethod
    def _owner(path: Path) -> Any:
        with path.open("rb") as stream:
            first: tuple[int, int, Any] = next(_whole_frames(stream), (0, 0, {}))
            return first[2].get("fingerprint")

    def _append(self, content: dict[str, Any]) -> None:
        with os_errors_explained(self.path):
            if self._stream is None:
                self._stream = self._open()
            for part in self.computed_on[self._said :]:
                _write(self._stream, {"circumstances": part})
            self._said = len(self.computed_on)
            _write(self._stream, content)  # outlives this process; a power cut it outlives by what follows
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._stream.fileno())
                self._synced = time.monotonic()

    def _open(self) -> RawIOBase:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = self.path.open("ab", buffering=0)
        stream.truncate(self._end)
        if not self._end:
            _write(stream, {"fingerprint": self.fingerprint})
        return stream

    def _content(self, start: int, length: int) -> Any:
        with self.path.open("rb") as stream:
            stream.seek(start + _FRAME.size)
            return _unpack(stream.read(length - _FRAME.size))


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
