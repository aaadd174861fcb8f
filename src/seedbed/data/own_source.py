"""Where your own images lie, and whether they are still what was indexed.

The index on disk names files by the link ``source`` in the data set's folder, so the same images give the same index
and the same checksum wherever they lie, and a folder or checkout that moved only needs its link set anew. Beside it
``sources.json`` remembers what was indexed: the folder, and name, size, time and checksum of every file.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seedbed.data.index import LINK
from seedbed.errors import DataError
from seedbed.io.atomic import read_json, write_json
from seedbed.io.provenance import file_sha256

RECORD = "sources.json"
_OWN_FOLDERS = ("data", "results", ".snakemake")
_DEEPEST = 8

Stamps = Mapping[str, tuple[int, int]]
"""File, relative to its folder -> (size in bytes, time of change in nanoseconds)."""


def claim(root: str | Path, folder: str | Path) -> None:
    """Let the data set in ``root`` be the images in ``folder``, unless it already is another's.

    A folder that moved or was copied, with the same files, takes the earlier one's place: nothing is made again.

    Args:
        root: the data set's folder.
        folder: your own images.

    Raises:
        DataError: the data set was made of another folder, with other files; both are named, and what to do. Or the
            folder is the data set's own.
    """
    given, root, folder = folder, Path(root), Path(folder).resolve()
    if root.resolve() == folder:  # its classes.txt would be an output, which is deleted before it is made
        raise DataError(
            f"datasets.{root.name}.path: {given} is where the index of {root.name} is written. Move your images, or "
            "give the data set another name."
        )
    record = _recorded(root)
    earlier = Path(record["folder"]) if record else folder
    if record and earlier != folder and _contents(root, folder) != record["digest"]:
        raise DataError(_clash(root, earlier, folder))
    if not _points_at(root / LINK, folder):
        _link(root, folder)


def contents(root: str | Path, folder: str | Path) -> str:
    """What a change of stands for other data: one digest of names, sizes and times of every file in ``folder``.

    Labels, annotations, lists, images and masks all count. Files whose time alone differs from what was indexed are
    compared by their bytes: a copy, a checkout or a ``touch`` is no change.

    Args:
        root: the data set's folder, which remembers what was indexed.
        folder: your own images.
    """
    return _contents(Path(root), Path(folder).resolve())


def digest_of(folder: str | Path) -> str:
    """One digest of names, sizes and times of every file in ``folder``.

    Raises:
        DataError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder.")
    return _digest(_stamps(Path(folder)))


def largest_files(folder: str | Path, count: int) -> list[Path]:
    """The ``count`` files of most bytes in ``folder``, the largest first."""
    sizes = {name: size for name, (size, _) in _stamps(Path(folder)).items()}
    return [Path(folder) / name for name in sorted(sizes, key=lambda name: (-sizes[name], name))[:count]]


def link_source(root: Path, source: Path) -> None:
    """Let ``root/source`` point at the folder of your own images, which index paths are relative to."""
    source = source.resolve()
    if not _points_at(root / LINK, source):
        _link(root, source)


def write_record(root: Path, source: Path) -> None:
    """Remember what is indexed; see `contents`.

    Files of the same names and bytes as before keep their digest, which the job that indexes them was planned with.
    """
    source = source.resolve()
    digest = _contents(root, source)
    files = {name: [*stamp, file_sha256(source / name)] for name, stamp in _stamps(source).items()}
    write_json(root / RECORD, {"folder": str(source), "digest": digest, "files": files})


def _contents(root: Path, folder: Path) -> str:
    stamps, record = _stamps(folder), _recorded(root)
    if record is None:
        return _digest(stamps)
    files = record["files"]
    if {name: size for name, (size, _) in stamps.items()} != {name: size for name, (size, *_) in files.items()}:
        return _digest(stamps)
    touched = [name for name, (_, time) in stamps.items() if files[name][1] != time]
    if any(file_sha256(folder / name) != files[name][2] for name in touched):
        return _digest(stamps)
    if touched or record["folder"] != str(folder):
        known = {name: [*stamp, files[name][2]] for name, stamp in stamps.items()}
        with contextlib.suppress(Exception):  # the comparison is made again next time
            write_json(root / RECORD, {**record, "folder": str(folder), "files": known})
    return record["digest"]


def _recorded(root: Path) -> dict[str, Any] | None:
    return read_json(root / RECORD) if (root / RECORD).is_file() else None


def _digest(stamps: Stamps) -> str:
    lines = (f"{name}\0{size}\0{time}\n" for name, (size, time) in sorted(stamps.items()))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _stamps(folder: Path) -> Stamps:
    """Every file below a folder; hidden ones and what a run in it writes are left out."""
    return dict(_files(folder, "", _DEEPEST))


def _files(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, tuple[int, int]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or _is_ours(folder, entry.name):
                continue
            try:
                if entry.is_file():
                    status = entry.stat()
                    yield f"{prefix}{entry.name}", (status.st_size, status.st_mtime_ns)
                elif depth and entry.is_dir():
                    yield from _files(folder / entry.name, f"{prefix}{entry.name}/", depth - 1)
            except OSError as error:
                raise DataError(f"{folder / entry.name}: cannot be read ({error.strerror}).") from None


def _is_ours(folder: Path, name: str) -> bool:
    """Whether a folder is one that runs here write to; somebody may keep images in the working directory."""
    return name in _OWN_FOLDERS and folder == Path.cwd()


def _points_at(link: Path, folder: Path) -> bool:
    return link.is_symlink() and link.readlink() == folder


def _link(root: Path, folder: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if (root / LINK).exists() and not (root / LINK).is_symlink():
        raise DataError(f"{root / LINK}: is in the way of a link to {folder}. Move it elsewhere.")
    with tempfile.TemporaryDirectory(prefix=f".{LINK}.", dir=root) as place:
        (Path(place) / LINK).symlink_to(folder)
        (Path(place) / LINK).replace(root / LINK)


def _clash(root: Path, earlier: Path, folder: Path) -> str:
    state = "which has other files" if earlier.is_dir() else "which is gone"
    return (
        f"{folder}: the data set '{root.name}' was made of {earlier}, {state}; results of one would overwrite the "
        f"other's. Give this one a name of its own (dataset_name={folder.parent.name or 'mine'}_{folder.name}), or, "
        f"if it takes the place of the earlier one, delete {root / RECORD}."
    )
