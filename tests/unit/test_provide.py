"""Files that may never come again: stamped, kept, never deleted; unpacked content is kept where it is whole."""

import pytest
import torch
from mini_archives import tar
from raw_files import HTML, MANUAL, source

from seedbed.data.raw.lock import DataLock
from seedbed.data.raw.provide import RECORD, provide, stand_for
from seedbed.data.raw.stamp import kept_file, stamped_file
from seedbed.errors import DataError
from seedbed.io.atomic import read_json
from seedbed.io.weights import read_weights, write_weights
from seedbed.models import published
from seedbed.models.published import keep_timm_weights

CONTAINS = {"prefix": "top", "contains": {"*.txt": 2}}
TAG = "vit_tiny_patch16_224.augreg_in21k"


class Place:
    """A data folder with one archive in it, of a source that only a person can fetch."""

    def __init__(self, folder, files):
        self.data, self.lock = folder / "data", folder / "data/lock.json"
        self.stamp = self.data / "archives/x/x.tar.json"
        self.file, self.raw = stamped_file(self.stamp), self.data / "one/raw/x"
        self.file.parent.mkdir(parents=True)
        tar(self.file, files)
        self.source = source(content=self.file.read_bytes(), **MANUAL, **CONTAINS)

    def stand(self):
        stand_for(self.source, self.stamp, lock_file=self.lock, data=self.data)
        return read_json(self.stamp)

    def provide(self, origin=None):
        provide(self.source, origin or self.file, self.raw, lock_file=self.lock)
        return {path.name: path.read_text() for path in (self.raw / "top").iterdir()}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, {"top/a.txt": b"a", "top/b.txt": b"b"})


def test_a_stamp_says_what_was_verified(place):
    assert place.stand() == {
        "source": "x", "file": "x.tar", "bytes": place.source.bytes, "sha256": place.source.sha256,
    }  # fmt: skip
    assert kept_file(place.stamp) == place.file and kept_file(place.file) == place.file
    place.file.unlink()
    with pytest.raises(DataError, match=r"x\.tar: has gone since it was verified.*remove .*x\.tar\.json"):
        kept_file(place.stamp)


def test_wrong_content_gets_no_stamp_and_stays(place):
    place.file.write_bytes(HTML)
    with pytest.raises(DataError, match=r"x\.tar: is a web page.*left as it is"):
        place.stand()
    assert place.file.read_bytes() == HTML and not place.stamp.exists()


def test_what_is_unpacked_stands_for_a_removed_archive(place):
    place.stand()
    place.provide()
    place.stamp.unlink()
    place.file.unlink()
    assert place.stand()["sha256"] == place.source.sha256
    (place.raw / "top/a.txt").unlink()
    with pytest.raises(DataError, match="cannot be fetched for you"):
        place.stand()


def test_a_link_of_yours_stands_for_no_archive(place):
    place.stand()
    mine = place.data.parent / "mine/top"
    mine.mkdir(parents=True)
    for name in "ab":
        (mine / f"{name}.txt").touch()
    assert place.provide(mine.parent) == {"a.txt": "", "b.txt": ""}
    place.file.unlink()
    with pytest.raises(DataError, match="cannot be fetched for you"):
        place.stand()


def test_whole_content_is_kept_and_an_incomplete_one_made_again(place):
    place.stand()
    assert place.provide() == {"a.txt": "a", "b.txt": "b"}
    assert read_json(place.raw / RECORD) == {"source": "x", "sha256": place.source.sha256, "unpacked": True}
    (place.raw / "top/more.txt").write_text("mine")
    assert place.provide()["more.txt"] == "mine"
    place.file.unlink()
    assert place.provide()["more.txt"] == "mine"
    (place.raw / "top/a.txt").unlink()
    (place.raw / "top/more.txt").unlink()
    with pytest.raises(DataError, match="cannot be fetched for you"):
        place.provide()
    assert (place.raw / "top/b.txt").exists()
    tar(place.file, {"top/a.txt": b"a", "top/b.txt": b"b"})
    assert place.provide() == {"a.txt": "a", "b.txt": "b"}


def test_content_of_another_file_is_replaced(place):
    place.stand()
    place.provide()
    tar(place.file, {"top/a.txt": b"new", "top/b.txt": b"b"})
    place.source = source(content=place.file.read_bytes(), **MANUAL, **CONTAINS)
    place.lock.unlink()
    place.stand()
    assert place.provide() == {"a.txt": "new", "b.txt": "b"}


def test_what_was_not_unpacked_here_is_kept_if_whole_and_refused_if_not(place):
    (place.raw / "top").mkdir(parents=True)
    (place.raw / "top/a.txt").write_text("mine")
    place.stand()
    with pytest.raises(DataError, match=r"one/raw/x: is there already, but was not unpacked here.*Move it away"):
        place.provide()
    assert (place.raw / "top/a.txt").read_text() == "mine"
    (place.raw / "top/b.txt").write_text("mine too")
    assert place.provide() == {"a.txt": "mine", "b.txt": "mine too"}
    assert read_json(place.raw / RECORD)["unpacked"] is False
    (place.raw / "top/b.txt").unlink()
    with pytest.raises(DataError, match="Move it away"):
        place.provide()


def test_nothing_is_written_into_a_folder_that_you_linked_yourself(place, tmp_path):
    mine = tmp_path / "mine"
    (mine / "top").mkdir(parents=True)
    place.raw.parent.mkdir(parents=True)
    place.raw.symlink_to(mine)
    place.stand()
    for name in "ab":
        (mine / f"top/{name}.txt").write_text("mine")
    assert place.provide() == {"a.txt": "mine", "b.txt": "mine"}
    assert sorted(path.name for path in mine.rglob("*")) == ["a.txt", "b.txt", "top"]
    (mine / "top/a.txt").unlink()
    with pytest.raises(DataError, match="Move it away"):
        place.provide()
    (mine / "top/b.txt").unlink()  # the link leads to nothing that counts: it goes, the folder stays
    assert place.provide() == {"a.txt": "a", "b.txt": "b"}
    assert not place.raw.is_symlink() and (mine / "top").is_dir() and not list((mine / "top").iterdir())


def test_an_archive_that_lacks_files_leaves_nothing(tmp_path):
    place = Place(tmp_path, {"top/a.txt": b"a"})
    place.stand()
    with pytest.raises(DataError, match=r"x\.tar: 1 files match \*\.txt, x\.tar has 2\. Put the whole archive"):
        place.provide()
    assert list(place.raw.parent.iterdir()) == [] and place.file.exists()


@pytest.fixture
def timm(tmp_path, monkeypatch):
    """How often timm was asked, and what keeps its weights."""
    asked = []

    class Net:
        def state_dict(self):
            return {"w": torch.arange(4.0)}

    monkeypatch.setattr(published, "_pretrained", lambda tag: asked.append(tag) or Net())
    file, made = tmp_path / "archives" / f"{TAG}.safetensors", tmp_path / "weights"
    return asked, file, made, lambda: keep_timm_weights(TAG, file, lock_file=tmp_path / "lock.json", made=made)


def test_timm_weights_are_fetched_once(timm, tmp_path):
    asked, file, _, keep = timm
    pin = keep()
    assert asked == [TAG] and torch.equal(read_weights(file)["w"], torch.arange(4.0))
    before = file.stat().st_mtime_ns
    assert keep() == pin == DataLock(tmp_path / "lock.json").get(f"timm/{TAG}")
    assert asked == [TAG] and file.stat().st_mtime_ns == before


def test_timm_weights_of_an_earlier_version_are_taken_over(timm, tmp_path):
    asked, file, made, keep = timm
    keep()
    made.mkdir()
    write_weights(made / "a.safetensors", {"w": torch.ones(4)}, {"parameters": {"tag": TAG}})  # not those of the lock
    write_weights(made / "b.safetensors", {"w": torch.arange(4.0)}, {"parameters": {"tag": TAG}})
    (made / "0.safetensors").write_bytes(b"damaged")
    file.unlink()
    keep()
    assert asked == [TAG] and torch.equal(read_weights(file)["w"], torch.arange(4.0))
    file.unlink()
    (made / "b.safetensors").unlink()
    keep()
    assert asked == [TAG, TAG]


def test_other_timm_weights_than_the_locks_are_named_and_left(timm):
    asked, file, _, keep = timm
    keep()
    write_weights(file, {"w": torch.zeros(4)}, {})
    with pytest.raises(DataError, match=rf"{TAG}\.safetensors: timm/.* instead of"):
        keep()
    assert torch.equal(read_weights(file)["w"], torch.zeros(4)) and asked == [TAG]
