"""Unpack tar, tgz and zip archives: whole or not at all, and nothing outside the folder they are unpacked into.

Members are files and folders. An archive with links, devices, absolute names or ``..`` is refused whole, as is one that
unpacks to far more than archives of images do.
"""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from seedbed.data.raw.transfer import require_space
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory

RATIO = 100
"""Archives of images and annotations unpack to a few times their size."""
_SLACK = 100 << 20
_CHUNK = 1 << 20
_DAMAGE = (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Member:
    """A member of an archive: its name, its size in bytes, and its content (None for a folder)."""

    name: str
    size: int
    content: IO[bytes] | None


def unpack(
    archive: str | Path,
    target: str | Path,
    *,
    limit: int | None = None,
    progress: bool = True,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Unpack ``archive`` into the folder ``target``, which appears whole or not at all, and return it.

    Args:
        archive: a ``.tar``, ``.tar.gz``, ``.tgz`` or ``.zip`` file.
        target: the folder; one that is there is replaced.
        limit: bytes that the members may have together; by default a hundred times the archive's size.
        progress: draw a bar on standard error.
        check: called with the unpacked folder before it becomes ``target``; what it raises leaves nothing behind.

    Raises:
        DataError: naming archive and member: damaged or truncated, unsafe, or larger than ``limit``.
        UserError: the disk is full.
    """
    archive, target = Path(archive), Path(target)
    if not archive.is_file():
        raise DataError(f"{archive}: no such archive. Fetch it first.")
    packed = archive.stat().st_size
    left = limit if limit is not None else RATIO * packed + _SLACK
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(target) as folder, archive.open("rb") as stream:
        require_space(target.parent, packed, f"unpacking {archive.name}")
        members = _zip_members(stream, archive) if archive.suffix == ".zip" else _tar_members(stream, archive)
        with tqdm(desc=archive.name, unit=" files", mininterval=2, disable=not progress) as bar:
            for member in _undamaged(members, archive):
                left -= member.size
                if left < 0:
                    raise DataError(f"{archive}: unpacks to more than {limit or packed * RATIO:,} bytes; refused.")
                _write(member, folder, archive)
                bar.update()
        if check is not None:
            check(folder)
    return target


def _undamaged(members: Iterator[_Member], archive: Path) -> Iterator[_Member]:
    """Pass members on; damage met while reading names the last of them."""
    last = None
    while True:
        try:
            member = next(members, None)
        except _DAMAGE as error:
            where = f" after '{last}'" if last else ""
            raise DataError(f"{archive}: truncated or damaged{where} ({error}). Replace it by a whole one.") from None
        if member is None:
            return
        last = member.name
        yield member


def _write(member: _Member, folder: Path, archive: Path) -> None:
    path = folder / _safe_name(member.name, archive)
    try:
        if member.content is None:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            _copy(member, stream, archive)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{archive}: holds '{member.name}' twice, or as a file and a folder; refused.") from None


def _copy(member: _Member, stream: IO[bytes], archive: Path) -> None:
    written = 0
    while True:
        try:
            chunk = member.content.read(_CHUNK)
        except _DAMAGE as error:
            raise DataError(
                f"{archive}: truncated or damaged in '{member.name}' ({error}). Replace it by a whole one."
            ) from None
        if not chunk:
            break
        stream.write(chunk)
        written += len(chunk)
    if written != member.size:
        raise DataError(f"{archive}: '{member.name}' has {written:,} bytes, its entry says {member.size:,}; refused.")


def _safe_name(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise DataError(f"{archive}: the member name '{name}' is no plain relative path; refused.")
    return path


def _tar_members(stream: IO[bytes], archive: Path) -> Iterator[_Member]:
    """Members of a tar archive, in one pass; afterwards the rest is read, so that gzip's checksum is compared."""
    packed = archive.suffix in (".gz", ".tgz")
    source = _Tail(gzip.GzipFile(fileobj=stream) if packed else stream)
    with tarfile.open(fileobj=source, mode="r|") as opened:
        for entry in opened:
            if entry.isdir():
                yield _Member(entry.name, 0, None)
            elif entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse():
                yield _Member(entry.name, entry.size, opened.extractfile(entry))
            else:
                raise DataError(f"{archive}: '{entry.name}' is neither a file nor a folder (a link?); refused.")
    while source.read(_CHUNK):
        pass
    if source.tail.strip(b"\0") or len(source.tail) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends without an end mark")


def _zip_members(stream: IO[bytes], archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as opened:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: '{entry.filename}' is neither a file nor a folder (a link?); refused.")
            if entry.is_dir():
                yield _Member(entry.filename, 0, None)
            else:
                with opened.open(entry) as content:
                    yield _Member(entry.filename, entry.file_size, content)


class _Tail:
    """A stream that remembers its last block: a whole tar archive ends with zeros."""

    def __init__(self, stream: IO[bytes] | io.BufferedIOBase) -> None:
        self._stream, self.tail = stream, b""

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self.tail = (self.tail + chunk[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
        return chunk
