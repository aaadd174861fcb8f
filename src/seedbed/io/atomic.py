"""Files that appear whole or not at all: temporary name beside the target, fsync, rename."""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedbed.errors import UserError


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes ``target``, on any error it is removed.

    Leftovers of a killed writer of the same target are swept first; a target has one writer at a time.

    Raises:
        UserError: the disk is full, or the folder cannot be written; the target is left as it was.
    """
    target = Path(target)
    with os_errors_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(target):
            leftover.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder; on success it replaces ``target`` by a rename, on any error it is removed.

    Raises:
        UserError: as `atomic_path`.
    """
    target = Path(target)
    with os_errors_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(target):
            shutil.rmtree(leftover)
        temporary, retired = (
            Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)) for _ in range(2)
        )
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            os.sync()  # one call for thousands of files
            if target.exists():
                target.replace(retired)  # out of the way by a rename, so that no half-deleted folder is ever seen
            temporary.replace(target)
            _sync_folder(target.parent)
        finally:
            for folder in (temporary, retired):
                shutil.rmtree(folder, ignore_errors=True)


def write_bytes(target: str | os.PathLike, content: bytes) -> None:
    """Write ``content`` to ``target``, whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: str | os.PathLike, content: str) -> None:
    """Write UTF-8 text to ``target``, whole or not at all."""
    write_bytes(target, content.encode())


def write_json(target: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys; the same value gives the same bytes. NaN, inf: null."""
    write_text(target, json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the rule that makes it.") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}). Delete it and rerun.") from None


def _publish(temporary: Path, target: Path) -> None:
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.chmod(0o666 & ~_umask())
    temporary.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_UMASK = threading.Lock()


def _umask() -> int:
    with _UMASK:  # it can only be read by setting it, and another thread's reading in between would leave it at 0
        mask = os.umask(0)
        os.umask(mask)
    return mask


def _leftovers(target: Path) -> list[Path]:
    """Temporary files or folders of this target; those of ``a.json`` are not ``a``'s."""
    middle = "[a-z0-9_]{8}"  # what tempfile puts there
    name = re.compile(rf"\.{re.escape(target.name)}\.{middle}\.part")
    return [path for path in target.parent.iterdir() if name.fullmatch(path.name)]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextlib.contextmanager
def os_errors_explained(target: Path) -> Iterator[None]:
    """Name a full disk, or a folder that cannot be written, as a `UserError` about ``target``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if _disk_full(error):
            raise UserError(f"{target}: the disk is full. Free some space and rerun; nothing was changed.") from error
        if isinstance(error, OSError) and _forbidden(error, target):
            raise UserError(
                f"{target}: cannot be written ({error.strerror}). Check the folder's permissions."
            ) from error
        raise


def _disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; HDF5 and torch keep it in the text or in the error's context."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or os.strerror(
            errno.ENOSPC
        ) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _forbidden(error: OSError, target: Path) -> bool:
    """Whether writing the target was refused, and not something else that happened meanwhile."""
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return False
    place = None if error.filename is None else Path(error.filename)
    return place is None or place.is_relative_to(target.parent) or target.is_relative_to(place)
