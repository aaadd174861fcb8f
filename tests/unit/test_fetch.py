"""Fetching from a web site on this machine that cuts connections, changes files, lies and disappears."""

import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from http_site import serve
from raw_files import CONTENT, HTML, get, left, quota, source

from seedbed.data.raw import fetch as fetching
from seedbed.data.raw.fetch import Retry
from seedbed.data.raw.lock import DataLock, Pin
from seedbed.errors import DataError, UserError


@pytest.fixture
def site():
    with serve() as site:
        yield site


@pytest.fixture
def content():
    return CONTENT


def test_a_file_is_fetched_verified_and_pinned(site, tmp_path, content):
    wanted = source(site.add("x.tar", content), content=content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert left(tmp_path) == ["x.tar"]
    sha256 = hashlib.sha256(content).hexdigest()
    assert DataLock(tmp_path / "lock.json").get("x") == Pin("x.tar", len(content), sha256)
    assert json.loads((tmp_path / "lock.json").read_text()) == {
        "x": {"file": "x.tar", "bytes": len(content), "sha256": sha256}
    }
    assert DataLock(tmp_path / "lock.json").origin(["x", "y"])["x"]["sha256"] == sha256


def test_a_file_that_is_there_is_verified_not_fetched(site, tmp_path, content):
    wanted = source(site.add("x.tar", content), content=content)
    get(wanted, tmp_path)
    get(wanted, tmp_path)
    assert len(site.asked) == 1
    (tmp_path / "raw" / "x.tar").write_bytes(content[:-1] + b"!")
    with pytest.raises(DataError, match=r"x\.tar: its sha256 is .* as published\. Remove the file"):
        get(wanted, tmp_path)


def test_a_file_that_a_person_puts_there_meanwhile_stays(site, tmp_path, content, monkeypatch):
    """The published file comes, but is no reason to replace what is there."""
    wanted, place = source(site.add("x.tar", content), content=content), tmp_path / "raw" / "x.tar"
    verify = fetching.verify

    def verify_and_put(path, *arguments):
        pin = verify(path, *arguments)
        place.write_bytes(HTML)
        return pin

    monkeypatch.setattr(fetching, "verify", verify_and_put)
    with pytest.raises(DataError, match=r"x\.tar: is a web page.*left as it is"):
        get(wanted, tmp_path)
    assert place.read_bytes() == HTML


def test_a_cut_transfer_is_resumed_where_it_broke_off(site, tmp_path, content):
    wanted = source(site.add("x.tar", content, cuts=[150_000, 100_000]), content=content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == [None, "bytes=150000-", "bytes=250000-"]
    assert site.asked[1][2] == '"1"'
    assert left(tmp_path) == ["x.tar"]


def test_a_killed_fetch_is_resumed_by_the_next(site, tmp_path, content):
    url = site.add("x.tar", content, cuts=[150_000])
    with pytest.raises(DataError, match=r"broke off after 150,000 of 419,840 bytes; gave up after 1 attempts"):
        get(source(url, content=content), tmp_path, retry=Retry(attempts=1))
    assert left(tmp_path) == ["x.tar.part", "x.tar.part.json"]
    assert get(source(url, content=content), tmp_path).read_bytes() == content
    assert site.ranges() == [None, "bytes=150000-"]


def test_attempts_count_since_bytes_last_came(site, tmp_path, content):
    wanted = source(site.add("x.tar", content, cuts=[50_000] * 7), content=content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert len(site.asked) == 8


def test_a_server_without_ranges_starts_over(site, tmp_path, content):
    wanted = source(site.add("x.tar", content, ranges=False, cuts=[150_000]), content=content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == [None, "bytes=150000-"]


def test_a_file_that_changed_between_two_transfers_is_not_glued(site, tmp_path, content):
    other = content[:1000] + bytes(len(content) - 1000)
    url = site.add("x.tar", content, cuts=[150_000])
    with pytest.raises(DataError):
        get(source(url), tmp_path, retry=Retry(attempts=1))
    site.add("x.tar", other, etag='"2"')
    assert get(source(url), tmp_path).read_bytes() == other


@pytest.mark.parametrize(("tag", "longer"), [('"2"', 0), ('"1"', 512)], ids=["another tag", "another size"])
def test_a_server_that_ignores_the_condition_is_found_out(site, tmp_path, content, tag, longer):
    other = content[:1000] + bytes(len(content) - 1000 + longer)
    url = site.add("x.tar", content, cuts=[150_000])
    with pytest.raises(DataError):
        get(source(url), tmp_path, retry=Retry(attempts=1))
    site.add("x.tar", other, etag=tag, if_range=False)
    assert get(source(url), tmp_path).read_bytes() == other
    assert site.ranges() == [None, "bytes=150000-", None]


def test_a_weak_tag_does_not_count(site, tmp_path, content):
    url = site.add("x.tar", content, etag='W/"1"', cuts=[150_000])
    assert get(source(url), tmp_path).read_bytes() == content
    assert site.ranges() == [None, None]


def test_a_body_in_chunks_is_resumed_too(site, tmp_path, content):
    url = site.add("x.tar", content, chunked=True, cuts=[150_000])
    assert get(source(url), tmp_path).read_bytes() == content
    assert site.ranges() == [None, "bytes=150000-"]


def test_a_file_that_moved_is_followed_and_resumed(site, tmp_path, content):
    new = site.add("new.tar", content, cuts=[150_000])
    old = site.add("old.tar", b"", moved_to=new)
    assert get(source(old, content=content), tmp_path).read_bytes() == content
    assert site.ranges() == [None, None, "bytes=150000-", "bytes=150000-"]


def test_without_a_validator_an_unproven_file_is_not_resumed(site, tmp_path, content):
    url = site.add("x.tar", content, etag=None, cuts=[150_000])
    assert get(source(url), tmp_path).read_bytes() == content
    assert site.ranges() == [None, None]


def test_spliced_parts_that_prove_wrong_are_fetched_once_more_in_one_piece(site, tmp_path, content):
    wanted = source(site.add("x.tar", content), content=content)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.tar.part").write_bytes(b"?" * 1000)
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == ["bytes=1000-", None]


def test_parts_of_two_mirrors_that_prove_wrong_together_are_too(site, tmp_path, content):
    bad = site.add("bad.tar", content[:2000] + bytes(len(content) - 2000), cuts=[150_000, 0, 0, 0])
    good = site.add("good.tar", content)
    assert get(source(bad, good, content=content), tmp_path).read_bytes() == content
    assert site.ranges()[-2:] == ["bytes=150000-", None]


def test_a_whole_part_that_proves_wrong_is_fetched_anew(site, tmp_path, content):
    wanted = source(site.add("x.tar", content), content=content)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.tar.part").write_bytes(content[::-1])
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == [None]


@pytest.mark.parametrize("excess", [0, 5])
def test_a_part_that_is_as_long_as_the_file_or_longer(site, tmp_path, content, excess):
    wanted = source(site.add("x.tar", content), sha256=hashlib.sha256(content).hexdigest())
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.tar.part").write_bytes(content + bytes(excess))
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == [f"bytes={len(content) + excess}-", None]


def test_a_complete_part_is_verified_without_asking(site, tmp_path, content):
    wanted = source(site.add("x.tar", content), content=content)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.tar.part").write_bytes(content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.asked == []


def test_mirrors_are_tried_in_turn_and_take_up_what_came(site, tmp_path, content):
    gone = f"{site.url}/gone.tar"
    flaky = site.add("flaky.tar", content, cuts=[150_000, 0, 0, 0])
    good = site.add("good.tar", content)
    assert get(source(gone, flaky, good, content=content), tmp_path).read_bytes() == content
    assert site.asked[0][0] == "/gone.tar"
    assert site.asked[-1] == ("/good.tar", "bytes=150000-", None)


def test_all_mirrors_gone_is_one_error_that_lists_them(site, tmp_path, content):
    wanted = source(f"{site.url}/a.tar", f"{site.url}/b.tar", content=content)
    with pytest.raises(DataError) as caught:
        get(wanted, tmp_path)
    assert "a.tar answers 404" in str(caught.value) and "b.tar answers 404" in str(caught.value)
    assert "Add a mirror" in str(caught.value) and "http://x.example/get" in str(caught.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_failures_are_retried(site, tmp_path, content, status):
    wanted = source(site.add("x.tar", content, statuses=[status, status]), content=content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert len(site.asked) == 3


@pytest.mark.parametrize("status", [403, 404, 410])
def test_lasting_failures_are_not(site, tmp_path, content, status):
    with pytest.raises(DataError, match=f"answers {status}"):
        get(source(site.add("x.tar", content, statuses=[status]), content=content), tmp_path)
    assert len(site.asked) == 1


def test_waiting_times_grow_and_are_bounded():
    retry = Retry(attempts=9, first_wait=1.0, factor=2.0, longest_wait=10.0)
    assert [retry.wait(failures) for failures in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert retry.wait(1, asked=5.0) == 5.0 and retry.wait(1, asked=500.0) == 10.0


def test_a_dead_server_is_given_up(tmp_path, content):
    with serve() as site:
        url = site.add("x.tar", content)
    with pytest.raises(DataError, match=r"cannot be reached .*gave up after 3 attempts"):
        get(source(url, content=content), tmp_path)


def test_a_silent_server_times_out(site, tmp_path, content):
    wanted = source(site.add("x.tar", content, delay=1.0), content=content)
    with pytest.raises(DataError, match=r"broke off \(.*timed out.*gave up after 1 attempts"):
        get(wanted, tmp_path, timeout=0.2, retry=Retry(attempts=1))


def test_a_web_page_does_not_cost_the_part_that_came(site, tmp_path, content):
    good = site.add("x.tar", content, cuts=[150_000, 0, 0, 0])
    page = site.add("page.tar", HTML, ranges=False)
    with pytest.raises(DataError, match="web page"):
        get(source(good, page, sha256=hashlib.sha256(content).hexdigest()), tmp_path)
    assert (tmp_path / "raw" / "x.tar.part").read_bytes() == content[:150_000]


def test_a_chunk_of_known_size_cut_without_length_is_noticed(site, tmp_path, content):
    wanted = source(site.add("x.tar", content, length=False, cuts=[150_000]), content=content)
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == [None, "bytes=150000-"]


def test_a_disk_that_will_be_full_is_said_before_the_first_byte(site, tmp_path, content, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=300_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    wanted = source(site.add("x.tar", content), content=content)
    with pytest.raises(UserError, match=r"fetching x\.tar needs 419,840 bytes, 300,000 are free"):
        get(wanted, tmp_path)
    assert left(tmp_path) == []
    (tmp_path / "raw" / "x.tar.part").write_bytes(content[:150_000])
    assert get(wanted, tmp_path).read_bytes() == content  # what is left of it fits


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "seedbed-test", folder]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_keeps_what_came(site, small_disk, content):
    wanted = source(site.add("x.tar", content, length=False), sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(UserError, match=r"x\.tar\.part: cannot be written \(No space left on device\)"):
        get(wanted, small_disk)
    assert "x.tar" not in left(small_disk)
    part = small_disk / "raw" / "x.tar.part"
    assert content.startswith(part.read_bytes()) and part.stat().st_size > 100_000


def test_a_quota_that_is_used_up_keeps_what_came_and_the_next_call_goes_on(site, tmp_path, content):
    wanted = source(site.add("x.tar", content), content=content)
    with quota(150_000), pytest.raises(UserError, match=r"x\.tar\.part: cannot be written \(File too large\)"):
        get(wanted, tmp_path)
    assert left(tmp_path) == ["x.tar.part", "x.tar.part.json"]
    assert (tmp_path / "raw" / "x.tar.part").read_bytes() == content[:150_000]
    assert get(wanted, tmp_path).read_bytes() == content
    assert site.ranges() == [None, "bytes=150000-"]


def fetch_in_process(url, content, folder, queue):
    queue.put(get(source(url, content=content), Path(folder)).read_bytes() == content)


def test_two_processes_fetch_a_file_once(site, tmp_path, content):
    url = site.add("x.tar", content, delay=0.03)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=fetch_in_process, args=(url, content, str(tmp_path), queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    assert results == [True, True]
    assert len(site.asked) == 1


def test_progress_shows_size_and_rate(site, tmp_path, content, capsys):
    get(source(site.add("x.tar", content), content=content), tmp_path, progress=True)
    assert "x.tar: 100%" in capsys.readouterr().err
    get(source(site.add("y.tar", content), content=content, name="y", file="y.tar"), tmp_path)
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_locked_is_an_error(tmp_path, content):
    (tmp_path / "raw" / ".x.tar.lock").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be locked"):
        get(source("http://127.0.0.1:9/x.tar", content=content), tmp_path)
