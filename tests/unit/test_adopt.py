"""Files that only a person can fetch, and what is on disk already: verified, linked, never copied."""

import pytest
from raw_files import CONTENT, HTML, MANUAL, get, source

from seedbed.data.raw.adopt import adopt_file, adopt_unpacked, check_unpacked, find_unpacked
from seedbed.errors import DataError

UNPACKED = {"prefix": "VOCdevkit/VOC2012", "contains": {"JPEGImages/*.jpg": 2, "readme.txt": 1}}


@pytest.fixture
def content():
    return CONTENT


def test_what_only_a_person_can_fetch_is_explained(tmp_path, content):
    with pytest.raises(DataError) as caught:
        get(source(content=content, **MANUAL), tmp_path)
    for text in (
        "Log in and take",
        "http://x.example/get",
        "x.tar",
        "419,840",
        "sha256",
        str(tmp_path / "raw" / "x.tar"),
    ):
        assert text in str(caught.value)
    with pytest.raises(DataError, match="none published; recorded when first seen"):
        get(source(**MANUAL), tmp_path)


def test_what_a_person_put_there_is_verified(tmp_path, content):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.tar").write_bytes(content)
    assert get(source(content=content, **MANUAL), tmp_path).read_bytes() == content
    (tmp_path / "raw" / "x.tar").write_bytes(HTML)
    with pytest.raises(DataError, match="is a web page"):
        get(source(**MANUAL), tmp_path)
    (tmp_path / "raw" / "x.tar").write_bytes(content[:99_999])
    with pytest.raises(DataError, match="has 99,999 bytes instead of 419,840, as published"):
        get(source(content=content, **MANUAL), tmp_path)


def test_a_file_on_disk_is_verified_and_linked(tmp_path, content):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "x.tar").write_bytes(content)
    wanted = source(content=content, **MANUAL)
    for place in (mine, mine / "x.tar"):
        link = adopt_file(wanted, place, tmp_path / "raw", lock_file=tmp_path / "lock.json")
        assert link == tmp_path / "raw" / "x.tar" and link.is_symlink() and link.read_bytes() == content
    assert get(wanted, tmp_path) == link
    (mine / "x.tar").write_bytes(content[::-1])
    with pytest.raises(DataError):
        adopt_file(wanted, mine, tmp_path / "raw", lock_file=tmp_path / "lock.json")
    with pytest.raises(DataError, match=r"neither is this x\.tar, nor does it hold it"):
        adopt_file(wanted, tmp_path, tmp_path / "raw", lock_file=tmp_path / "lock.json")


def test_a_file_in_the_links_place_is_not_overwritten(tmp_path, content):
    (tmp_path / "mine.tar").write_bytes(content)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.tar").write_bytes(b"precious")
    with pytest.raises(DataError, match="is there already"):
        adopt_file(source(**MANUAL), tmp_path / "mine.tar", tmp_path / "raw", lock_file=tmp_path / "lock.json")
    assert (tmp_path / "raw" / "x.tar").read_bytes() == b"precious"
    link = adopt_file(source(**MANUAL), tmp_path / "mine.tar", tmp_path, lock_file=tmp_path / "lock.json")
    assert link.resolve() == tmp_path / "mine.tar"


@pytest.mark.parametrize("given", ["mine", "mine/VOCdevkit", "mine/VOCdevkit/VOC2012"])
def test_an_unpacked_folder_is_found_checked_and_linked(tmp_path, given):
    content = tmp_path / "mine/VOCdevkit/VOC2012"
    (content / "JPEGImages").mkdir(parents=True)
    for name in ("JPEGImages/a.jpg", "JPEGImages/b.jpg", "readme.txt"):
        (content / name).touch()
    wanted = source(**MANUAL, **UNPACKED)
    link = adopt_unpacked(wanted, tmp_path / given, tmp_path / "raw/x")
    assert link == tmp_path / "raw/x/VOCdevkit/VOC2012" and link.is_symlink()
    assert (link / "JPEGImages/a.jpg").is_file()
    check_unpacked(wanted, tmp_path / "raw/x")
    (content / "JPEGImages/b.jpg").unlink()
    message = r"2 x JPEGImages/\*\.jpg.*Nor does it hold x\.tar itself\. Get it at http://x\.example/get\."
    with pytest.raises(DataError, match=message):
        adopt_unpacked(wanted, tmp_path / given, tmp_path / "raw/x")
    with pytest.raises(DataError, match=r"1 files match JPEGImages/\*\.jpg, x\.tar has 2"):
        check_unpacked(wanted, tmp_path / "raw/x")


def test_a_flat_archive_is_linked_itself_also_from_other_places(tmp_path):
    wanted = source(**MANUAL, contains={"**/*.JPEG": 2}, places=["Data/CLS-LOC/val"])
    for name in ("n01/a.JPEG", "n02/b.JPEG"):
        path = tmp_path / "mine/Data/CLS-LOC/val" / name
        path.parent.mkdir(parents=True)
        path.touch()
    assert find_unpacked(wanted, tmp_path / "nowhere") is None
    (tmp_path / "mine/Data/CLS-LOC/train").mkdir()  # beside them, and not to be linked
    assert find_unpacked(wanted, tmp_path / "mine") == tmp_path / "mine/Data/CLS-LOC/val"
    link = adopt_unpacked(wanted, tmp_path / "mine/Data/CLS-LOC/val", tmp_path / "raw/x")
    assert link == tmp_path / "raw/x" and (link / "n01/a.JPEG").is_file()


def test_a_file_already_in_place_is_adopted_as_it_is(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    place = adopt_file(source(content=content, **MANUAL), tmp_path, tmp_path, lock_file=tmp_path / "lock.json")
    assert place.read_bytes() == content and not place.is_symlink()
