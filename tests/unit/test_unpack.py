"""Unpacking: whole or not at all, and nothing outside the folder."""

import gzip
import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mini_archives import bomb, tar, zipped
from raw_files import quota

from seedbed.data.raw import transfer
from seedbed.data.raw.unpack import unpack
from seedbed.errors import DataError, UserError

FILES = {"top.txt": b"top", "a/b/deep.bin": bytes(range(256)) * 300, "a/empty": b""}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make(folder, kind, files):
    return zipped(folder / "x.zip", files) if kind == "zip" else tar(folder / f"x.{kind}", files)


def entry(name, kind=tarfile.REGTYPE, size=0, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, link
    return entry


def raw_tar(path, *entries):
    with tarfile.open(path, "w") as archive:
        for item in entries:
            archive.addfile(item, io.BytesIO(bytes(item.size)))
    return path


def refused(archive, target, message, **options):
    """Unpacking fails with the message, and neither the folder nor anything beside it appears."""
    before = sorted(path.name for path in target.parent.iterdir())
    with pytest.raises(DataError, match=message) as caught:
        unpack(archive, target, progress=False, **options)
    assert str(caught.value).startswith(str(archive))
    assert sorted(path.name for path in target.parent.iterdir()) == before


@pytest.mark.parametrize("kind", ["tar", "tgz", "tar.gz", "zip"])
def test_every_format_unpacks_to_the_same_files(tmp_path, kind):
    target = unpack(make(tmp_path, kind, FILES), tmp_path / "out" / "x", progress=False)
    assert tree(target) == FILES
    assert (target / "a" / "b").is_dir() and not (target.stat().st_mode & stat.S_IWOTH)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=2000), max_size=6), st.booleans())
def test_any_content_survives(tmp_path_factory, files, as_zip):
    folder = tmp_path_factory.mktemp("round")
    assert tree(unpack(make(folder, "zip" if as_zip else "tgz", files), folder / "x", progress=False)) == files


def test_folders_without_files_and_names_with_a_dot_are_kept(tmp_path):
    archive = raw_tar(tmp_path / "x.tar", entry("./", tarfile.DIRTYPE), entry("./a/b", tarfile.DIRTYPE), entry("./a/c"))
    target = unpack(archive, tmp_path / "x", progress=False)
    assert (target / "a" / "b").is_dir() and (target / "a" / "c").is_file()


def test_a_folder_that_is_there_is_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    assert set(tree(unpack(tar(tmp_path / "x.tar", FILES), tmp_path / "x", progress=False))) == set(FILES)


def test_modes_of_the_archive_are_not_taken_over(tmp_path):
    program = entry("run.sh")
    program.mode = 0o6777
    target = unpack(raw_tar(tmp_path / "x.tar", program), tmp_path / "x", progress=False)
    assert stat.S_IMODE((target / "run.sh").stat().st_mode) & 0o7111 == 0


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "a\\..\\evil", "a/.."])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_lead_out_are_refused(tmp_path, name, kind):
    if kind == "tar":
        archive = raw_tar(tmp_path / "x.tar", entry("good"), entry(name))
    else:
        archive = tmp_path / "x.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("good", b"")
            opened.writestr(name, b"")
    (tmp_path / "in").mkdir()
    refused(archive, tmp_path / "in" / "x", "is no plain relative path")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "good"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.GNUTYPE_SPARSE, ""),
    ],
)
def test_links_and_devices_are_refused(tmp_path, kind, link):
    archive = raw_tar(tmp_path / "x.tar", entry("good"), entry("bad", kind, link=link))
    refused(archive, tmp_path / "x", "'bad' is neither a file nor a folder")


def test_files_with_holes_are_refused(tmp_path):
    """They are written as regular files, with a map of their holes beside."""
    holes = entry("bad", size=1)
    holes.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000000"}
    refused(raw_tar(tmp_path / "x.tar", holes), tmp_path / "x", "'bad' is neither a file nor a folder")


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        info = zipfile.ZipInfo("bad")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    refused(tmp_path / "x.zip", tmp_path / "x", "'bad' is neither a file nor a folder")


def test_a_member_that_comes_twice_is_refused(tmp_path):
    refused(raw_tar(tmp_path / "x.tar", entry("a"), entry("a")), tmp_path / "x", "holds 'a' twice")
    refused(raw_tar(tmp_path / "y.tar", entry("a"), entry("a/b")), tmp_path / "y", "holds 'a/b' twice, or as a file")


def test_more_than_the_limit_is_refused(tmp_path):
    archive = bomb(tmp_path / "x.tgz", 1_000_000)
    refused(archive, tmp_path / "x", "unpacks to more than 999,999 bytes", limit=999_999)
    assert (unpack(archive, tmp_path / "x", limit=1_000_000, progress=False) / "zeros").stat().st_size == 1_000_000


def test_a_bomb_is_refused_by_default(tmp_path, monkeypatch):
    monkeypatch.setattr("seedbed.data.raw.unpack._SLACK", 0)
    refused(bomb(tmp_path / "x.tgz", 4_000_000), tmp_path / "x", "unpacks to more than")
    noise = {"a": np.random.default_rng(0).bytes(100_000)}
    assert tree(unpack(tar(tmp_path / "y.tgz", noise), tmp_path / "y", progress=False)) == noise


NOISE = {f"part{k}.bin": np.random.default_rng(k).bytes(30_000) for k in range(3)}


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.85])
def test_truncated_archives_leave_nothing(tmp_path, kind, share):
    archive = make(tmp_path, kind, NOISE)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    refused(archive, tmp_path / "x", "truncated or damaged")


def test_a_tar_that_ends_between_two_members_is_truncated(tmp_path):
    archive = tar(tmp_path / "x.tar", NOISE)
    with tarfile.open(archive) as opened:
        last = opened.getmembers()[-1]
    archive.write_bytes(archive.read_bytes()[: last.offset])
    refused(archive, tmp_path / "x", "truncated or damaged after 'part1.bin' .it ends without an end mark")


@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_a_changed_byte_is_noticed(tmp_path, kind):
    archive = make(tmp_path, kind, NOISE)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    refused(archive, tmp_path / "x", "truncated or damaged")


def test_the_checksum_behind_the_last_member_is_compared(tmp_path):
    archive = tar(tmp_path / "x.tgz", NOISE)
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1  # gzip's checksum
    archive.write_bytes(content)
    refused(archive, tmp_path / "x", "truncated or damaged after 'part2.bin'.*CRC")


def test_what_is_no_archive_is_named(tmp_path):
    for name in ("x.tar", "x.tgz", "x.zip"):
        (tmp_path / name).write_bytes(b"<!doctype html>" * 100)
        refused(tmp_path / name, tmp_path / "x", "truncated or damaged")
    with gzip.open(tmp_path / "y.tgz", "wb") as stream:
        stream.write(b"no tar in here" * 100)
    refused(tmp_path / "y.tgz", tmp_path / "x", "truncated or damaged")
    refused(tmp_path / "nothing.tar", tmp_path / "x", "no such archive")


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"a": b"secret"})
    content = archive.read_bytes()
    place = content.index(b"PK\x01\x02")
    archive.write_bytes(content[: place + 8] + b"\x01" + content[place + 9 :])
    refused(archive, tmp_path / "x", "truncated or damaged.*encrypted")


def test_a_disk_that_is_too_small_is_said_first(tmp_path, monkeypatch):
    archive = tar(tmp_path / "x.tar", NOISE)
    free = transfer.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(UserError, match=r"unpacking x\.tar needs .* bytes, 1,000 are free"):
        unpack(archive, tmp_path / "x", progress=False)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path, kind):
    archive = make(tmp_path, kind, NOISE)
    with quota(20_000), pytest.raises(UserError, match="the disk is full"):
        unpack(archive, tmp_path / "in" / "x", progress=False)
    assert list((tmp_path / "in").iterdir()) == []
