"""Use what is on disk already: a published file, or its unpacked content, is verified and linked, never copied."""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from seedbed.data.raw.lock import DataLock
from seedbed.data.raw.sources import FileSource
from seedbed.data.raw.verify import verify
from seedbed.errors import DataError


def adopt_file(source: FileSource, path: str | Path, folder: str | Path, *, lock_file: str | Path) -> Path:
    """Verify a file of a source, and link it into ``folder`` under its published name; return the link.

    Args:
        source: an entry of the table of sources.
        path: the file, under any name, or a folder that holds it under its published name.
        folder: where raw files lie.
        lock_file: the lock of data, see `seedbed.data.raw.lock`.

    Raises:
        DataError: there is no such file, its content is not what is published or was pinned, or another file has the
            link's place.
    """
    path = Path(path)
    found = path / source.file if path.is_dir() else path
    if not found.is_file():
        raise DataError(f"{path}: neither is this {source.file}, nor does it hold it.")
    verify(found, source, DataLock(lock_file))
    return _link(Path(folder) / source.file, found)


def adopt_unpacked(source: FileSource, path: str | Path, target: str | Path) -> Path:
    """Check the unpacked content of an archive, and link it as if it had been unpacked into ``target``.

    Args:
        source: an archive of the table of sources.
        path: the folder of its content, or one above it: for VOC ``VOC2012``, ``VOCdevkit`` or what holds that.
        target: the folder that unpacking would make.

    Raises:
        DataError: the content is not there or not complete; what was looked for is named.
    """
    content = find_unpacked(source, Path(path))
    if content is None:
        wanted = ", ".join(f"{count} x {pattern}" for pattern, count in source.contains.items())
        raise DataError(
            f"{path}: does not hold the unpacked {source.file}, which has at least: {wanted}"
            + (f", below {source.prefix}." if source.prefix else ".")
            + f" Nor does it hold {source.file} itself. Get it at {source.urls[0] if source.urls else source.page}."
        )
    return _link(Path(target) / source.prefix if source.prefix else Path(target), content)


def find_unpacked(source: FileSource, path: Path) -> Path | None:
    """The folder at or below ``path`` that has what ``source.contains`` counts; None if there is none."""
    return next((folder for folder in _candidates(source, path) if is_complete(source, folder)), None)


def check_unpacked(source: FileSource, target: str | Path) -> None:
    """Check that a freshly unpacked archive holds what its entry says.

    Raises:
        DataError: naming what is missing.
    """
    folder = Path(target) / source.prefix
    if missing := missing_from(source, folder):
        raise DataError(f"{folder}: {missing}. Unpack it again.")


def missing_from(source: FileSource, folder: Path) -> str | None:
    """What a folder lacks of what ``source.contains`` counts, in words; None if it is whole."""
    for pattern, expected in source.contains.items():
        found = _count(folder, pattern)
        if found < expected:
            return f"{found} files match {pattern}, {source.file} has {expected}"
    return None


def is_complete(source: FileSource, folder: Path) -> bool:
    """Whether ``folder`` is there and lacks nothing."""
    return folder.is_dir() and missing_from(source, folder) is None


def _candidates(source: FileSource, path: Path) -> Iterator[Path]:
    parts = PurePosixPath(source.prefix).parts
    for place in source.places:  # first, because the folder itself may hold a million other files to search
        yield path / place
    yield path
    for depth in range(len(parts)):
        yield path.joinpath(*parts[depth:])


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def _link(link: Path, content: Path) -> Path:
    """Make ``link`` a link to ``content``; a link that is there is replaced, a file or folder is not."""
    content = content.resolve()
    if link.exists() and not link.is_symlink():
        if link.resolve() == content:
            return link
        raise DataError(f"{link}: is there already, and is no link to {content}. Remove one of the two and rerun.")
    link.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{link.name}.", dir=link.parent) as folder:
        temporary = Path(folder) / link.name
        temporary.symlink_to(content)
        temporary.replace(link)
    return link
