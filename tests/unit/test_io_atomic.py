"""Files appear whole or not at all, and a full or locked disk ends in one clear message."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from seedbed.errors import UserError
from seedbed.io import atomic
from seedbed.io.atomic import atomic_directory, atomic_path, read_json, write_bytes, write_json, write_text
from seedbed.io.heatmaps import HeatMaps, write_heatmaps
from seedbed.io.masks import write_masks
from seedbed.io.weights import write_weights
from seedbed.train.state import save_state


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    write_text(target, "old")
    write_text(target, "grün")
    assert target.read_bytes() == "grün".encode()
    assert names(target.parent) == ["a.txt"]


def test_an_exception_inside_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.bin"
    write_bytes(target, b"old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_interrupt_inside_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_killed_writer_leaves_no_target_and_the_next_one_sweeps(tmp_path):
    target = tmp_path / "a.txt"
    program = (
        "import os, sys; from seedbed.io.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(target)], check=False).returncode == -9
    assert not target.exists()
    assert [name.endswith(".part") for name in names(tmp_path)] == [True]
    write_text(target, "whole")
    assert names(tmp_path) == ["a.txt"]


def test_sweeping_spares_the_writer_of_a_longer_name(tmp_path):
    with atomic_path(tmp_path / "a.json") as other:
        other.write_text("being written")
        write_text(tmp_path / "a", "short name")
        assert other.read_text() == "being written"
    assert names(tmp_path) == ["a", "a.json"]


@pytest.mark.parametrize("name", ["a[1].txt", "a*b?.txt", "a{x}.txt"])
def test_names_with_pattern_characters(tmp_path, name):
    leftover = tmp_path / f".{name}.abcd_012.part"
    leftover.write_text("left by a killed writer")
    write_text(tmp_path / name, "x")
    assert names(tmp_path) == [name]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
        with atomic_directory(tmp_path / "folder") as folder:
            (folder / "b").touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_the_content_is_synced_before_the_rename(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor):
        events.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_fsync(descriptor)

    def replace(source, target, **_):
        events.append(("replace", str(source)))
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "a.txt", "x")
    temporary = events[1][1]
    assert events == [("fsync", temporary), ("replace", temporary), ("fsync", str(tmp_path))]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_changes(tmp_path, code):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(UserError, match=r"a\.txt: the disk is full"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_at_the_sync_is_named(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match=r"a\.txt: the disk is full"):
        write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == []


def test_a_full_disk_that_hdf5_only_mentions_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.h5: the disk is full"), atomic_path(tmp_path / "a.h5"):
        raise OSError("Can't write data (file write failed: error message = 'No space left on device')")
    assert names(tmp_path) == []


def test_a_full_disk_behind_another_error_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.pt: the disk is full"), atomic_path(tmp_path / "a.pt"):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904 (as torch does)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_read_only_folder_is_named(tmp_path, monkeypatch, code):
    def mkstemp(**_):
        raise OSError(code, os.strerror(code), str(tmp_path / "x"))

    monkeypatch.setattr(atomic.tempfile, "mkstemp", mkstemp)
    with pytest.raises(UserError, match=r"a\.txt: cannot be written .*permissions"):
        write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == []


def test_another_file_that_may_not_be_read_is_not_blamed_on_the_target(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "out" / "a.txt"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/picture.jpg")


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(OSError, match="Input/output error"), atomic_path(tmp_path / "a.txt"):
        raise OSError(errno.EIO, "Input/output error")
    with pytest.raises(RuntimeError, match="something else"), atomic_path(tmp_path / "a.txt"):
        raise RuntimeError("something else")


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "data"
    for content in ("old", "new"):
        with atomic_directory(target) as folder:
            (folder / content).write_text(content)
    assert names(tmp_path) == ["data"]
    assert names(target) == ["new"]


def test_an_exception_inside_leaves_the_old_folder(tmp_path):
    with atomic_directory(tmp_path / "data") as folder:
        (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "data") as folder:
        (folder / "half").touch()
        raise ZeroDivisionError
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["old"]


def test_folders_of_a_killed_writer_are_swept(tmp_path):
    left = tmp_path / ".data.abcdefgh.part"
    left.mkdir()
    (left / "half").touch()
    with atomic_directory(tmp_path / "data"):
        pass
    assert names(tmp_path) == ["data"]


def test_json_is_the_same_for_the_same_value_and_has_no_nan(tmp_path):
    value = {"b": np.float32(0.5), "a": [1, math.nan, np.float64("inf")], 3: (np.int64(2), True, None, torch.tensor(4))}
    write_json(tmp_path / "a.json", value)
    write_json(tmp_path / "b.json", dict(reversed(value.items())))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"3": [2, True, None, 4], "a": [1, None, None], "b": 0.5}
    assert json.loads((tmp_path / "a.json").read_text()) == read_json(tmp_path / "a.json")


def test_reading_json_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        read_json(tmp_path / "gone.json")
    for content in (b'{"a": ', b"\xff\xfe"):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.json: not valid JSON"):
            read_json(tmp_path / "bad.json")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of 128 KiB; needs root."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def heat_maps(side):
    rng = np.random.default_rng(0)
    for number in range(200):
        yield f"{number}", HeatMaps(np.array([1, 2]), rng.random((2, side, side), np.float32), (side, side))


WRITERS = {
    "bytes": lambda path: write_bytes(path, bytes(200_000)),
    "small heat maps": lambda path: write_heatmaps(path, heat_maps(12), {}),
    "heat maps": lambda path: write_heatmaps(path, heat_maps(40), {}),
    "compressed heat maps": lambda path: write_heatmaps(path, heat_maps(80), {}),
    "masks": lambda path: write_masks(path, ((f"{k}", np.eye(300, dtype=np.uint8)) for k in range(500)), {}),
    "weights": lambda path: write_weights(path, {"w": torch.zeros(60_000)}, {}),
    "a large state": lambda path: save_state(path, {}, {"w": torch.zeros(60_000)}),
    "a state of many parts": lambda path: save_state(path, {}, {str(k): torch.zeros(30) for k in range(1000)}),
}


@pytest.mark.filterwarnings("error")  # an error that Python could only print counts as a failure
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("free", [1, 40, 110])
def test_a_disk_that_is_really_full(small_disk, writer, free):
    (small_disk / "old").write_text("old")
    (small_disk / "ballast").write_bytes(bytes((112 - free) * 1024 + 5))
    try:
        with pytest.raises(UserError, match="old: the disk is full"):
            WRITERS[writer](small_disk / "old")
        assert names(small_disk) == ["ballast", "old"]
        assert (small_disk / "old").read_text() == "old"
    finally:
        (small_disk / "ballast").unlink()


def test_hdf5_files_are_readable_by_any_reader(tmp_path):
    write_heatmaps(tmp_path / "a.h5", heat_maps(12), {"seed": 1})
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(file) == 200
        assert json.loads(file.attrs["provenance"]) == {"seed": 1}
