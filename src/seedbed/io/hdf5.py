"""A file under HDF5 that tells when the disk was full."""

import io
import os
from pathlib import Path
from typing import Any


class HonestFile(io.RawIOBase):
    """A new file whose failed writes are raised by ``raise_failure``, and by nothing else.

    HDF5 writes part of its data only when an object is let go of, where Python drops the error, and it can crash on the
    next one. So it is told that all went well; whoever writes asks here, after each item and at the end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._failure: OSError | None = None

    def raise_failure(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        try:
            while len(rest) and self._failure is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failure = error
        return length

    def truncate(self, size: int | None = None) -> int:
        try:
            if self._failure is None:
                self._file.truncate(size)
        except OSError as error:
            self._failure = error
        return self.tell() if size is None else size

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
