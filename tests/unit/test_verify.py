"""What is fetched is held to what is published, or to what came first; web pages and fragments are found out."""

import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import h5py
import numpy as np
import pytest
from http_site import serve
from mini_archives import tar, zipped
from raw_files import CONTENT, HTML, get, left, source

from seedbed.data.raw.lock import DataLock, Pin
from seedbed.data.raw.verify import wrong_format
from seedbed.errors import DataError, UserError


@pytest.fixture
def site():
    with serve() as site:
        yield site


@pytest.fixture
def content():
    return CONTENT


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.zip", "x.pth", "x.mat", "x.txt"])
def test_a_web_page_instead_of_the_file_is_refused(site, tmp_path, name, length):
    wanted = source(site.add(name, b"\n " + HTML, content_type="text/html", length=length), file=name)
    with pytest.raises(DataError, match="what it sends is a web page"):
        get(wanted, tmp_path)
    assert left(tmp_path) == []


def test_another_file_of_the_same_format_is_refused(site, tmp_path, content):
    other = content[:2000] + bytes(len(content) - 2000)
    bad, good = site.add("bad.tar", other), site.add("good.tar", content)
    assert get(source(bad, good, content=content), tmp_path).read_bytes() == content
    with pytest.raises(
        DataError, match=r"gives a wrong file: its sha256 is [0-9a-f]{64} instead of [0-9a-f]{64}, as pub"
    ):
        get(source(bad, content=content, name="y", file="y.tar"), tmp_path)
    assert left(tmp_path) == ["x.tar"]
    assert DataLock(tmp_path / "lock.json").get("y") is None


def test_a_file_of_another_size_is_refused_before_it_is_transferred(site, tmp_path, content):
    wanted = source(site.add("x.tar", content + bytes(512)), content=content)
    with pytest.raises(DataError, match="offers 420,352 bytes where 419,840 are expected"):
        get(wanted, tmp_path)
    assert left(tmp_path) == []


def test_md5_and_a_checksum_prefix_count(site, tmp_path, content):
    url = site.add("x.tar", content)
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    get(source(url, md5=md5, sha256_prefix=sha256[:8]), tmp_path)
    with pytest.raises(DataError, match="its md5 is"):
        get(source(url, name="y", file="y.tar", md5="0" * 32), tmp_path)
    with pytest.raises(DataError, match=f"its sha256 is {sha256[:8]} instead of 00000000"):
        get(source(url, name="z", file="z.tar", sha256_prefix="0" * 8), tmp_path)


def test_a_file_without_published_checksum_is_pinned_on_first_sight(site, tmp_path, content):
    url = site.add("x.tar", content)
    get(source(url), tmp_path).unlink()
    site.pages["/x.tar"].content = content[:2000] + bytes(len(content) - 2000)
    with pytest.raises(DataError, match=r"its sha256 is .* as recorded in .*lock\.json \(take the entry out"):
        get(source(url), tmp_path)
    site.pages["/x.tar"].content = content + bytes(512)
    with pytest.raises(DataError, match="offers 420,352 bytes where 419,840 are expected"):
        get(source(url), tmp_path)
    assert left(tmp_path) == []


def truncated_files(folder):
    noise = {"a": np.random.default_rng(1).bytes(50_000)}
    with h5py.File(folder / "x.mat", "w", userblock_size=512) as file:
        file["value"] = np.arange(20_000)
    with (folder / "x.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")
    return [
        tar(folder / "x.tar", noise),
        tar(folder / "x.tgz", noise),
        zipped(folder / "x.zip", noise),
        folder / "x.mat",
    ]


@pytest.mark.parametrize("kind", range(4), ids=["tar", "tgz", "zip", "mat"])
def test_a_truncated_file_of_unknown_size_is_not_pinned(site, tmp_path, kind):
    """The server closes the connection early, and nothing says how long the file is."""
    path = truncated_files(tmp_path)[kind]
    url = site.add(path.name, path.read_bytes(), length=False, cuts=[20_000])
    with pytest.raises(DataError, match="truncated or damaged"):
        get(source(url, file=path.name), tmp_path)
    assert left(tmp_path) == [] and DataLock(tmp_path / "lock.json").get("x") is None
    assert get(source(url, file=path.name), tmp_path).read_bytes() == path.read_bytes()


def test_formats_are_told_by_their_first_bytes(tmp_path):
    files = truncated_files(tmp_path)
    for path in files:
        assert wrong_format(path.read_bytes()[:1024], path.name) is None
        assert "is not" in wrong_format(b"GIF89a" + bytes(600), path.name)
        assert wrong_format(b"", path.name) == "is empty."
    assert wrong_format(b"\x80\x02\x8a\nl\xfc", "w.pth") is None
    assert wrong_format(b"\x12\x01\0\0\0\0\0\0", "w.params") is None
    assert wrong_format(b"2007_000032\n", "train.txt") is None


def test_locks_of_data_written_by_many_lose_nothing(tmp_path):
    path = tmp_path / "lock.json"
    # Not forked: this process has threads, whose locks a fork would hold for ever.
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("forkserver")) as pool:
        list(pool.map(record_one, [(str(path), number) for number in range(40)]))
    assert len(json.loads(path.read_text())) == 40


def record_one(item):
    path, number = item
    DataLock(path).record(f"s{number}", Pin("f", number + 1, "0" * 64))


def test_a_lock_of_data_that_is_no_lock_is_an_error(tmp_path):
    (tmp_path / "lock.json").write_text('{"x": {"file": "a"}}')
    with pytest.raises(DataError, match=r"lock\.json: the entry 'x' needs"):
        DataLock(tmp_path / "lock.json").get("x")
    (tmp_path / "lock.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        DataLock(tmp_path / "lock.json").get("x")


def test_the_lock_holds_what_has_no_file_of_its_own(tmp_path):
    lock = DataLock(tmp_path / "data" / "lock.json")
    lock.hold("timm/x.tag", Pin("x.tag", 10, "a" * 64))
    lock.hold("timm/x.tag", Pin("x.tag", 10, "a" * 64))
    with pytest.raises(
        DataError, match=r"timm/x\.tag: x\.tag has the sha256 b{64} instead of a{64}, as recorded in .*lock"
    ):
        lock.hold("timm/x.tag", Pin("x.tag", 10, "b" * 64))
    assert lock.get("timm/x.tag").sha256 == "a" * 64
