"""Fetch a published file: mirrors in turn, resumed where it broke off, under its final name only when proven right."""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from seedbed.data.raw.lock import DataLock, exclusive
from seedbed.data.raw.sources import FileSource
from seedbed.data.raw.transfer import Interrupted, Part, Refused, transfer
from seedbed.data.raw.verify import verify
from seedbed.errors import DataError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """How often an address is asked again, and after how many seconds: ``first_wait * factor ** k``.

    Attempts are counted since bytes last came: a long transfer may break off more often.
    """

    attempts: int = 5
    first_wait: float = 1.0
    factor: float = 2.0
    longest_wait: float = 60.0

    def wait(self, failures: int, asked: float = 0.0) -> float:
        """Seconds to wait after so many failures in a row; a server may ask for more, up to ``longest_wait``."""
        return min(self.longest_wait, max(asked, self.first_wait * self.factor ** (failures - 1)))


_RETRY = Retry()


def fetch(
    source: FileSource,
    folder: str | Path,
    *,
    lock_file: str | Path,
    progress: bool = True,
    retry: Retry = _RETRY,
    timeout: float = 60.0,
) -> Path:
    """Return the verified file of a source in ``folder``, fetching it if it is not there.

    A file that is there is never removed or replaced, whatever its content: a person may have put it there. A partial
    file, ``<file>.part``, is kept for the next call unless its content is proven wrong. Of several processes that want
    the same file one fetches, the others wait and find it.

    Args:
        source: an entry of the table of sources.
        folder: where raw files lie.
        lock_file: the lock of data, see `seedbed.data.raw.lock`.
        progress: draw a bar with rate and time left on standard error.
        retry: how often and how fast an address is asked again.
        timeout: seconds of silence after which a server counts as gone.

    Raises:
        DataError: no address gives the file, its content is not what is published or was pinned, or only a person can
            download it; the text says where, and what to put where.
        UserError: the disk is or will be full, or the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, lock = folder / source.file, DataLock(lock_file)
    with exclusive(folder / f".{source.file}.lock", f"fetching {source.file}"):
        if target.exists():
            _verify_present(target, source, lock)
        elif source.manual:
            raise DataError(manual_instructions(source, target, lock))
        else:
            with _Bar(source.file, progress) as bar:
                _fetch_from_any(source, target, lock, bar, retry, timeout)
    return target


def manual_instructions(source: FileSource, target: Path, lock: DataLock) -> str:
    """What a person must do to provide a file that cannot be fetched: page, name, size, checksum, place."""
    pin = lock.get(source.name)
    size = source.bytes or (pin and pin.bytes)
    checksum = (
        (source.sha256 and f"sha256 {source.sha256}")
        or (source.md5 and f"md5 {source.md5}")
        or (pin and f"sha256 {pin.sha256} (recorded in {lock.path})")
    )
    return (
        f"{source.name}: this file cannot be fetched for you. {source.instructions}\n"
        f"  page:     {source.page}\n"
        f"  file:     {source.file}\n"
        f"  size:     {f'{size:,} bytes' if size else 'not published; recorded when first seen'}\n"
        f"  checksum: {checksum or 'none published; recorded when first seen'}\n"
        f"  put it at {target}, or name the folder where you have it{_config_of(source)}; then rerun."
    )


def _config_of(source: FileSource) -> str:
    """How the command line names a folder that holds files of a data set."""
    return f" (--config {source.dataset}=/path/to/folder)" if source.dataset else ""


def _verify_present(target: Path, source: FileSource, lock: DataLock) -> None:
    try:
        verify(target, source, lock)
    except DataError as error:
        raise DataError(f"{error} Remove the file and rerun; it is left as it is.") from None


def _fetch_from_any(
    source: FileSource, target: Path, lock: DataLock, bar: "_Bar", retry: Retry, timeout: float
) -> None:
    part = Part(target.with_name(f"{target.name}.part"), source.proven() or lock.get(source.name) is not None)
    problems = []
    for url in source.urls:
        try:
            _fetch_from(url, part, source, lock, bar, retry, timeout)
        except Refused as error:
            _LOG.warning("%s %s.", url, error)
            problems.append(f"  {url} {error}")
        else:
            if target.exists():  # a person put it there meanwhile
                _verify_present(target, source, lock)
                part.discard()
            else:
                _publish(part, target)
            return
    hint = f"Add a mirror to the table of sources, or put the file at {target} yourself; see {source.page}"
    raise DataError(f"{source.name}: no address gives {source.file}:\n" + "\n".join(problems) + f"\n{hint}")


def _fetch_from(
    url: str, part: Part, source: FileSource, lock: DataLock, bar: "_Bar", retry: Retry, timeout: float
) -> None:
    """Transfer and verify; a spliced file that proves wrong is transferred once more in one piece."""
    pin = lock.get(source.name)
    size = source.bytes or (pin.bytes if pin else None)
    while True:
        _transfer_persistently(url, part, source.file, size, bar, retry, timeout)
        try:
            verify(part.path, source, lock)
            return
        except DataError as error:
            spliced = part.spliced
            part.discard()
            if not spliced:
                raise Refused(f"gives a wrong file: {str(error).removeprefix(f'{part.path}: ').rstrip('.')}") from None
            _LOG.warning("%s Parts of different transfers do not fit together; starting over.", error)


def _transfer_persistently(
    url: str, part: Part, name: str, size: int | None, bar: "_Bar", retry: Retry, timeout: float
) -> None:
    failures = 0
    while True:
        before = part.size()
        try:
            transfer(url, part, name, size, timeout, bar)
            return
        except Interrupted as error:
            failures = 1 if part.size() > before else failures + 1
            if failures >= retry.attempts:
                raise Refused(f"{error}; gave up after {failures} attempts") from None
            wait = retry.wait(failures, error.wait)
            _LOG.warning("%s %s; trying again in %.0f s.", url, error, wait)
            time.sleep(wait)


def _publish(part: Part, target: Path) -> None:
    with part.path.open("rb") as stream:
        os.fsync(stream.fileno())
    part.path.replace(target)
    part.discard()


class _Bar:
    """A progress bar with rate and time left; started anew with each transfer."""

    def __init__(self, name: str, shown: bool) -> None:
        self._name, self._shown = name, shown
        self._bar: tqdm | None = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def start(self, total: int | None, done: int) -> None:
        """Show ``done`` bytes of ``total``."""
        self.__exit__()
        self._bar = tqdm(
            desc=self._name,
            total=total,
            initial=done,
            unit="B",
            unit_scale=True,
            mininterval=2,
            disable=not self._shown,
        )

    def advance(self, count: int) -> None:
        """Show so many bytes more."""
        self._bar.update(count)
