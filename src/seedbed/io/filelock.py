"""Locks that die with their process, SIGKILL included; a file system that has none is named once, and work goes on."""

import contextlib
import enum
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_LOG = logging.getLogger(__name__)
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_told: set[int] = set()


class Lock(enum.Enum):
    """What became of asking for a lock: it is held, somebody else holds it, or the file system has no locks."""

    HELD = enum.auto()
    BUSY = enum.auto()
    NONE = enum.auto()


def lock(stream: IO, *, shared: bool = False, wait: bool = True) -> Lock:
    """Lock an open file until it is closed; whatever lock this process has on it is exchanged for the new one.

    Args:
        stream: the open file.
        shared: whether others may hold it, shared, at the same time.
        wait: whether to wait for whoever holds it; if not, the answer may be ``BUSY``.

    Raises:
        OSError: locking fails for another reason than that the file system (Lustre and NFS, as they may be mounted) has
            no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(stream, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.BUSY
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _tell(stream, error)
        return Lock.NONE
    return Lock.HELD


@contextlib.contextmanager
def held(path: Path, waiting_for: str = "") -> Iterator[Lock]:
    """Hold the lock file ``path`` inside the block, alone where the file system has locks.

    Args:
        path: the lock file; it is made, and stays.
        waiting_for: what the log says another process is doing while this one waits.
    """
    with path.open("a") as stream:
        found = lock(stream, wait=False)
        if found is Lock.BUSY:
            if waiting_for:
                _LOG.info("Another process is %s; waiting for it.", waiting_for)
            found = lock(stream)
        yield found


def _tell(stream: IO, error: OSError) -> None:
    """Warn, once a process for each file system."""
    device = os.fstat(stream.fileno()).st_dev
    if device not in _told:
        _told.add(device)
        _LOG.warning(
            "%s: this file system has no file locks (%s). Going on without: start one run at a time in this folder.",
            Path(str(stream.name)).absolute().parent,
            error.strerror,
        )
