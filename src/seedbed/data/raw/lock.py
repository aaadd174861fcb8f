"""The lock of data: size and sha256 of every raw file as first seen; later copies are held to them.

One JSON file, kept with the project: ``{source: {"file", "bytes", "sha256"}}``. It is what pins files whose publishers
give no checksum.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from seedbed.errors import DataError, UserError
from seedbed.io.atomic import read_json, write_json
from seedbed.io.filelock import held


@dataclass(frozen=True)
class Pin:
    """A file's name, size in bytes and sha256 (64 hex digits)."""

    file: str
    bytes: int
    sha256: str


class DataLock:
    """The lock of data at ``path``; it is read and written anew each time, so that processes may share it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def get(self, source: str) -> Pin | None:
        """The pin of a source, or None before its first fetch.

        Raises:
            UserError: the file is not JSON.
            DataError: the entry is not a pin.
        """
        entry = self._read().get(source)
        try:
            return None if entry is None else Pin(**entry)
        except TypeError:
            raise DataError(f"{self.path}: the entry '{source}' needs file, bytes and sha256, and no more.") from None

    def require(self, source: str) -> Pin:
        """The pin of a source that was fetched; raises as `get` does.

        Raises:
            UserError: it was not.
        """
        pin = self.get(source)
        if pin is None:
            raise UserError(f"{self.path}: has no entry '{source}'. Fetch it again.")
        return pin

    def record(self, source: str, pin: Pin) -> None:
        """Pin a source; an equal pin leaves the file untouched."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path.with_name(f".{self.path.name}.lock")):
            entries = self._read()
            if entries.get(source) != asdict(pin):
                write_json(self.path, {**entries, source: asdict(pin)})

    def hold(self, source: str, pin: Pin) -> None:
        """Pin a source at its first sight, and hold it to that pin later.

        Raises:
            DataError: it was recorded with another size or checksum.
        """
        known = self.get(source)
        if known and known != pin:
            raise DataError(
                f"{source}: {pin.file} has the sha256 {pin.sha256} instead of {known.sha256}, as recorded in "
                f"{self.path}. Take the entry out there if the publisher has replaced it."
            )
        self.record(source, pin)

    def origin(self, sources: Iterable[str]) -> dict[str, dict[str, str | int]]:
        """What a data card says of its raw files: the pins of those ``sources`` that have one."""
        pins = {source: self.get(source) for source in sources}
        return {source: asdict(pin) for source, pin in pins.items() if pin}

    def _read(self) -> dict:
        return read_json(self.path) if self.path.exists() else {}


@contextlib.contextmanager
def exclusive(path: Path, waiting_for: str = "") -> Iterator[None]:
    """Hold the lock file ``path``, which one process at a time can; the system frees it when its holder dies.

    On a file system without locks the log says so once, and work goes on.

    Args:
        path: the lock file; it is made, and stays.
        waiting_for: what the log says another process is doing while this one waits.

    Raises:
        UserError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(path, waiting_for))
        except OSError as error:
            message = f"{path}: cannot be locked ({error.strerror}). Use a folder that can be written to."
            raise UserError(message) from error
        yield
