"""Locks: one holder at a time; a file system that has none is named once, and everybody who locks goes on."""

import errno
import fcntl
import logging
import os

import pytest

from seedbed.data.raw.lock import DataLock, Pin, exclusive
from seedbed.devices.lease import lease
from seedbed.errors import UserError
from seedbed.io import filelock
from seedbed.io.filelock import Lock, held, lock
from seedbed.tracking import runs


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    """A file system that answers every lock with this error."""

    def flock(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(filelock, "_told", set())


def test_one_holds_it_many_share_it(tmp_path):
    one, other, third = ((tmp_path / "x.lock").open("a") for _ in range(3))
    with one, other, third:
        assert lock(one) is Lock.HELD
        assert lock(other, wait=False) is Lock.BUSY
        assert lock(other, shared=True, wait=False) is Lock.BUSY
        assert lock(one, shared=True) is Lock.HELD
        assert lock(other, shared=True, wait=False) is Lock.HELD
        assert lock(third, wait=False) is Lock.BUSY
        one.close()
        other.close()
        assert lock(third, wait=False) is Lock.HELD


def test_a_block_holds_it_and_gives_it_back(tmp_path):
    with held(tmp_path / "x.lock") as found, (tmp_path / "x.lock").open("a") as other:
        assert found is Lock.HELD and lock(other, wait=False) is Lock.BUSY
    with held(tmp_path / "x.lock") as found:
        assert found is Lock.HELD


def test_a_file_system_without_locks_is_named_once(no_locks, tmp_path, caplog):
    with caplog.at_level(logging.WARNING), held(tmp_path / "x.lock") as one, held(tmp_path / "y.lock") as other:
        assert one is Lock.NONE and other is Lock.NONE
    (said,) = caplog.records
    assert str(tmp_path) in said.getMessage() and "has no file locks" in said.getMessage()


def test_everybody_who_locks_goes_on(no_locks, tmp_path):
    DataLock(tmp_path / "lock.json").record("x", Pin("x.tar", 1, "0" * 64))
    assert DataLock(tmp_path / "lock.json").get("x").bytes == 1
    with exclusive(tmp_path / "x.lock", "fetching"):
        pass
    with runs.one_at_a_time(f"sqlite:///{tmp_path}/mlflow.db"):
        pass
    found = lease(2, pool=["0", "1", "2"], folder=tmp_path)
    assert len(set(found.devices)) == 2 and set(found.devices) <= {"0", "1", "2"}
    assert found.devices == tuple(sorted(found.devices))
    found.give_back()


def test_another_failure_is_an_error(monkeypatch, tmp_path):
    def flock(*_):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="input/output error"), held(tmp_path / "x.lock"):
        pass
    message = r"x\.lock: cannot be locked \(input/output error\)"
    with pytest.raises(UserError, match=message), exclusive(tmp_path / "x.lock"):
        pass
