"""Whether a file is what its source says: size, checksum, format, and no web page under a false name."""

import gzip
import hashlib
import logging
import tarfile
import zipfile
import zlib
from pathlib import Path

from seedbed.data.raw.lock import DataLock, Pin
from seedbed.data.raw.sources import FileSource
from seedbed.errors import DataError

HEAD = 1024
"""So many first bytes tell every format."""
_CHUNK = 1 << 20
_PUBLISHED = "as published"
_LOG = logging.getLogger(__name__)
_TORCH_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04")


def verify(path: Path, source: FileSource, lock: DataLock) -> Pin:
    """Hold the file to what is published and to the lock of data, and pin it there on its first sight.

    A file that neither knows a checksum of is read through once, because a truncated one must not be pinned.

    Raises:
        DataError: naming the file, what was expected and what was found.
    """
    problem = wrong_format(_head(path), source.file)
    if problem:
        raise DataError(f"{path}: {problem}")
    size, pin = path.stat().st_size, lock.get(source.name)
    for expected, origin in ((source.bytes, _PUBLISHED), (pin and pin.bytes, _recorded(lock))):
        if expected and size != expected:
            raise DataError(f"{path}: has {size:,} bytes instead of {expected:,}, {origin}.")
    _LOG.info("Verifying %s (%s bytes).", path, f"{size:,}")
    sha256 = _check_digests(path, source, pin, lock)
    if not source.proven() and pin is None:
        check_readable(path, source.file)
    found = Pin(source.file, size, sha256)
    lock.record(source.name, found)
    return found


def wrong_format(head: bytes, name: str) -> str | None:
    """Say what is wrong with the first bytes of a file called ``name``, or None where they fit.

    Args:
        head: the first 1,024 bytes, fewer if the file is smaller.
    """
    if not head:
        return "is empty."
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<script", b"<?xml")):
        return "is a web page, not the file: the server wants a log-in or a click, or moved the file."
    wanted = {
        ".tar": ("a tar archive", _is_tar(head)),
        ".gz": ("a gzip archive", head.startswith(b"\x1f\x8b")),
        ".tgz": ("a gzip archive", head.startswith(b"\x1f\x8b")),
        ".zip": ("a zip archive", head.startswith(b"PK")),
        ".mat": ("a MATLAB file", head.startswith((b"MATLAB", b"\x89HDF"))),
        ".pth": ("a PyTorch checkpoint", head.startswith((b"PK", *_TORCH_PICKLES))),
        ".params": ("an MXNet container", head.startswith(b"\x12\x01\0\0\0\0\0\0")),
    }
    kind, fits = wanted.get(Path(name).suffix, ("", True))
    return None if fits else f"is not {kind}, as its name says; it starts with {head[:8]!r}."


def check_readable(path: Path, name: str) -> None:
    """Read an archive's structure to its end; ``name`` tells its format, whatever ``path`` is called.

    Raises:
        DataError: it is truncated or damaged.
    """
    suffix = Path(name).suffix
    try:
        if suffix in (".gz", ".tgz"):
            with gzip.open(path) as stream:
                while stream.read(_CHUNK):
                    pass
        elif zipfile.is_zipfile(path) or suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise zipfile.BadZipFile(f"its member {damaged} is damaged")
        elif suffix == ".tar":
            with tarfile.open(path, "r:") as archive:
                end = max((member.offset_data + member.size for member in archive), default=0)
                if path.stat().st_size < end + tarfile.BLOCKSIZE:
                    raise tarfile.ReadError("it has no end mark")
        elif suffix == ".mat" and _head(path)[512:516] == b"\x89HDF":
            import h5py

            h5py.File(path, "r").close()
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: truncated or damaged ({error}).") from None


def _check_digests(path: Path, source: FileSource, pin: Pin | None, lock: DataLock) -> str:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    by_md5 = source.md5 is not None and source.sha256 is None
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
            if by_md5:
                md5.update(chunk)
    checks = [
        ("sha256", source.sha256, sha256.hexdigest(), _PUBLISHED),
        ("md5", source.md5 if by_md5 else None, md5.hexdigest(), _PUBLISHED),
        ("sha256", source.sha256_prefix, sha256.hexdigest()[: len(source.sha256_prefix or "")], _PUBLISHED),
        ("sha256", pin and pin.sha256, sha256.hexdigest(), _recorded(lock)),
    ]
    for kind, expected, found, origin in checks:
        if expected and expected != found:
            raise DataError(f"{path}: its {kind} is {found} instead of {expected}, {origin}.")
    return sha256.hexdigest()


def _recorded(lock: DataLock) -> str:
    return f"as recorded in {lock.path} (take the entry out there if the publisher has replaced the file)"


def _is_tar(head: bytes) -> bool:
    try:
        return bool(tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape").name)
    except tarfile.HeaderError:
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD)
