"""Bring published files to where preparing looks for them; what is there is kept, and nobody's file is deleted."""

from pathlib import Path

from seedbed.data.raw.adopt import adopt_file, adopt_unpacked, is_complete, missing_from
from seedbed.data.raw.fetch import fetch
from seedbed.data.raw.lock import DataLock, Pin
from seedbed.data.raw.sources import FileSource
from seedbed.data.raw.stamp import stamped_file, write_stamp
from seedbed.data.raw.unpack import unpack
from seedbed.data.raw.verify import verify
from seedbed.errors import DataError
from seedbed.io.atomic import read_json, write_json

RECORD = ".seedbed.json"
"""In an unpacked folder: of which file it is the content, and whether it was unpacked here or found."""


def stand_for(source: FileSource, stamp: str | Path, *, lock_file: str | Path, data: str | Path = "data") -> None:
    """Write the stamp of a source's file once its content is proven; fetch it if it is neither there nor unpacked.

    Args:
        source: an entry of the table of sources.
        stamp: ``<file>.json`` beside the file.
        lock_file: the lock of data.
        data: folder of the data sets; an archive that was unpacked in one of them may have been removed since.

    Raises:
        DataError, UserError: as `fetch`; the file is left as it is.
    """
    file, lock = stamped_file(stamp), DataLock(lock_file)
    pin = None if file.exists() else _unpacked_pin(source, Path(data), lock)
    if pin is None:
        fetch(source, file.parent, lock_file=lock_file)
        pin = lock.get(source.name)
    write_stamp(stamp, source.name, pin)


def provide(source: FileSource, origin: str | Path, target: str | Path, *, lock_file: str | Path) -> Path:
    """Bring a source to ``target``: unpack the archive ``origin``, or link what a folder ``origin`` holds.

    Args:
        source: an entry of the table of sources.
        origin: its file, or a folder that holds the file or, for an archive, its unpacked content. A file that is gone
            is fetched again, unless ``target`` holds its content.
        target: the folder that holds the content afterwards. Whole content is kept; what was unpacked from another
            file of the source is replaced, as is a link.
        lock_file: the lock of data.

    Raises:
        DataError: nothing of the source is there, or it is not what is published, or ``target`` holds what was not
            unpacked here and is not whole.
    """
    origin, target, lock = Path(origin), Path(target), DataLock(lock_file)
    file = origin / source.file if origin.is_dir() else origin
    if source.kind != "archive":
        if not file.exists() and file == origin:
            fetch(source, file.parent, lock_file=lock_file)
        return adopt_file(source, file, target, lock_file=lock_file)
    if origin.is_dir() and not file.is_file():
        return adopt_unpacked(source, origin, target)
    if origin.is_dir():
        file = adopt_file(source, file, target.parent / "archives", lock_file=lock_file)
    _remove_link(target / source.prefix)
    pin = lock.get(source.name)
    if not _keep(source, target, pin):
        if not file.exists():
            fetch(source, file.parent, lock_file=lock_file)
        pin = lock.get(source.name) or verify(file, source, lock)
        _remove_link(target)
        unpack(file, target, check=lambda folder: _finish(source, folder, file, pin))
    return target


def _unpacked_pin(source: FileSource, data: Path, lock: DataLock) -> Pin | None:
    """The pin of an archive whose content one of the data sets holds; None if none does."""
    pin = lock.get(source.name)
    if source.kind != "archive" or pin is None or (source.sha256 or pin.sha256) != pin.sha256:
        return None
    for folder in data.glob(f"*/raw/{source.name}"):
        if not (folder / source.prefix).is_symlink() and _is_content(source, folder, pin):
            return pin
    return None


def _keep(source: FileSource, target: Path, pin: Pin | None) -> bool:
    """Whether ``target`` holds the source's content already; False where it may be made or replaced."""
    if _is_content(source, target, pin):
        if _record(target) is None and pin is not None and not target.is_symlink():
            _write_record(target, source, pin, unpacked=False)
        return True
    if (_record(target) or {}).get("unpacked") or all(path.is_dir() for path in target.rglob("*")):
        return False  # made here, or nothing but the folders around a link that was
    raise DataError(
        f"{target}: is there already, but was not unpacked here, and is not the whole content of {source.file}. "
        "Move it away and rerun."
    )


def _is_content(source: FileSource, folder: Path, pin: Pin | None) -> bool:
    """Whether a folder is whole and, where both are known, of the pinned file."""
    if not folder.is_dir() or not any(folder.iterdir()) or not is_complete(source, folder / source.prefix):
        return False  # an archive of which nothing is counted is at least not empty
    record = _record(folder)
    return record is None or pin is None or record.get("sha256") == pin.sha256


def _record(folder: Path) -> dict | None:
    path = folder / RECORD
    return read_json(path) if path.is_file() else None


def _write_record(folder: Path, source: FileSource, pin: Pin, *, unpacked: bool) -> None:
    write_json(folder / RECORD, {"source": source.name, "sha256": pin.sha256, "unpacked": unpacked})


def _finish(source: FileSource, folder: Path, file: Path, pin: Pin) -> None:
    """Check a freshly unpacked folder, and say in it what it is."""
    if missing := missing_from(source, folder / source.prefix):
        raise DataError(f"{file}: {missing}. Put the whole archive in its place and rerun.")
    _write_record(folder, source, pin, unpacked=True)


def _remove_link(path: Path) -> None:
    """Remove a link to a folder of the user's, which an archive replaces; never what it leads to."""
    if path.is_symlink():
        path.unlink()
