"""Measurements that go on inside a shard: counts are saved now and then, whole blocks are never parted."""

import json
import math

import pytest

from seedbed.errors import UserError
from seedbed.io import partial_counts
from seedbed.io.partial_counts import UnfinishedCounts

WORKS = [0.1 * number for number in range(23)]


class Stopped(BaseException):
    """Nothing that a program would catch."""


@pytest.fixture(autouse=True)
def busy(monkeypatch):
    """A clock by which each block takes long enough to be saved at once."""
    now = iter(range(0, 10**6, 100))
    monkeypatch.setattr(partial_counts.time, "monotonic", lambda: next(now))


def counting(stop_at=None, seen=None):
    def count(works, begun):
        counts = begun or {"sum": 0.0, "blocks": []}
        part = list(works)
        if stop_at is not None and any(work >= stop_at for work in part):
            raise Stopped
        for work in part:
            counts["sum"] += work
        if seen is not None:
            seen.extend(part)
        return {**counts, "blocks": [*counts["blocks"], len(part)], "undefined": math.nan}

    return count


def plain_sum():
    total = 0.0
    for work in WORKS:
        total += work
    return total


def open_counts(target, fingerprint="f", device="cpu"):
    return UnfinishedCounts(target, {"of": fingerprint}, {"device": device})


def test_sums_go_on_bit_for_bit(tmp_path):
    for stop in (0.9, 1.7):
        with pytest.raises(Stopped), open_counts(tmp_path / "a") as kept:
            kept.resume(iter(WORKS), len(WORKS), counting(stop), block=4)
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["done"] == 16
    seen = []
    with open_counts(tmp_path / "a") as kept:
        counts = kept.resume(iter(WORKS), len(WORKS), counting(seen=seen), block=4)
        assert kept.record({"a": 1}) == {"a": 1}
    assert seen == WORKS[16:]
    assert counts["sum"] == plain_sum()
    assert counts["blocks"] == [4, 4, 4, 4, 4, 3]
    assert math.isnan(counts["undefined"])
    assert list(tmp_path.iterdir()) == []


def test_quick_blocks_are_counted_together_and_never_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(partial_counts.time, "monotonic", lambda: 0.0)
    with open_counts(tmp_path / "a") as kept:
        counts = kept.resume(iter(WORKS), len(WORKS), counting(), block=2)
        assert list(tmp_path.iterdir()) == []
    assert counts["blocks"] == [2, 4, 8, 9]
    assert counts["sum"] == plain_sum()


def test_no_works_are_counted_once(tmp_path):
    with open_counts(tmp_path / "a") as kept:
        assert kept.resume(iter(()), 0, counting())["blocks"] == [0]


def test_other_counts_and_damaged_ones_are_not_gone_on_from(tmp_path, caplog):
    with pytest.raises(Stopped), open_counts(tmp_path / "a") as kept:
        kept.resume(iter(WORKS), len(WORKS), counting(1.3), block=4)
    (path,) = tmp_path.iterdir()
    assert open_counts(tmp_path / "a", "g").done == 0
    assert 'inputs or code (of: "f" before, "g" now)' in caplog.text
    assert open_counts(tmp_path / "a", device="A100").computed_on[-1] == {"from": 12, "device": "A100"}
    path.write_text(path.read_text()[:-5])
    assert open_counts(tmp_path / "a").done == 0


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(path, text):
        raise UserError("full")

    monkeypatch.setattr(partial_counts, "write_text", full)
    with pytest.raises(UserError, match="full"), open_counts(tmp_path / "a") as kept:
        kept.resume(iter(WORKS), len(WORKS), counting(), block=4)
