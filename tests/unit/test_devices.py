"""Leases of GPUs: disjoint, all or none, in order, and gone with their holder. No GPU is needed: ids are only names."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from seedbed.devices import visible
from seedbed.devices.lease import FOLDER_VARIABLE, lease, lock_folder
from seedbed.devices.visible import lock_names, visible_devices, wanted_devices
from seedbed.errors import UserError

HOLDER = """
import json, sys, time
from seedbed.devices.lease import lease
held = lease(int(sys.argv[1]))
for line in (time.monotonic(), *held.devices): print(line, flush=True)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
print(time.monotonic(), flush=True)
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Four GPUs that nobody else uses."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def hold(count, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(count), str(seconds)], stdout=subprocess.PIPE, text=True, env=os.environ
    )


def wait_until_held(process):
    lines = []
    while (line := process.stdout.readline().strip()) != "held":
        assert line, "the holder died"
        lines.append(line)
    return lines[1:]


def test_many_processes_hold_disjoint_devices(machine):
    counts = [1, 2, 1, 3, 1, 4, 2, 1, 1, 3]
    spans = []
    for process, count in [(hold(count, 0.15), count) for count in counts]:
        lines = process.communicate(timeout=600)[0].split()
        assert process.returncode == 0
        start, *devices, word, end = lines
        assert word == "held" and len(set(devices)) == count
        spans += [(device, float(start), float(end)) for device in devices]
    assert len(spans) == sum(counts)
    for device in "0123":
        own = sorted(span[1:] for span in spans if span[0] == device)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(own)), device


def test_a_killed_holder_frees_its_devices(machine):
    holder = hold(3, 60)
    assert wait_until_held(holder) == ["0", "1", "2"]
    with_waiting = threading.Timer(0.3, holder.send_signal, [signal.SIGKILL])
    with_waiting.start()
    told = []
    mine = lease(2, on_wait=told.append)
    assert holder.wait(300) == -signal.SIGKILL
    assert mine.devices == ("0", "1") and mine.waited >= 0.1
    assert told == ["waiting for 2 of the GPUs 0, 1, 2, 3, which other jobs hold"]
    mine.give_back()


def test_all_or_none(machine):
    """A job that waits for two holds none meanwhile."""
    first, second = lease(1), lease(2)
    assert first.devices == ("0",) and second.devices == ("1", "2")
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(lease(2)))
    thread.start()
    time.sleep(0.4)
    assert not waiting
    # Another pool has its own gate: what the waiting job does not hold can be had there.
    other = lease(1, pool=["3"])
    assert other.devices == ("3",)
    other.give_back()
    first.give_back()
    thread.join(300)
    assert waiting[0].devices == ("0", "3")
    second.give_back()
    waiting[0].give_back()


def test_a_large_job_is_not_starved_by_small_ones(machine):
    """Who comes first is served first: a later job of one waits for the earlier one of four."""
    small = lease(1)
    order = []

    def take(count, waits):
        held = lease(count, on_wait=lambda what: waits.set())
        order.append(count)
        held.give_back()

    threads = []
    for count in (4, 1):
        waits = threading.Event()
        threads.append(threading.Thread(target=take, args=[count, waits]))
        threads[-1].start()
        assert waits.wait(300)
    assert order == []
    small.give_back()
    for thread in threads:
        thread.join(300)
    assert order == [4, 1]


def test_more_than_there_are_fails_at_once(machine):
    with pytest.raises(UserError, match=r"5 GPUs are asked for, but only 4 can be seen \(0, 1, 2, 3\). Ask for fewer"):
        lease(5, on_wait=pytest.fail)


@pytest.mark.parametrize("count", [0, 1, 8])
def test_nothing_waits_on_a_machine_without_gpus(machine, monkeypatch, count, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    held = lease(count)
    assert held.devices == () and held.asked == count and held.waited == 0.0
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("2", ("2",)),
        (" 3, 1 ,", ("3", "1")),
        ("0,1,-1,2", ("0", "1")),
        ("1,1", ("1",)),
        ("GPU-8f5c,GPU-11aa", ("GPU-8f5c", "GPU-11aa")),
    ],
)
def test_the_given_devices_are_respected(monkeypatch, given, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_devices() == expected


def driver(folder, monkeypatch, script):
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_the_driver_is_asked_where_nothing_is_given(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert visible_devices() == ()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    driver(tmp_path, monkeypatch, "printf '0\\n1\\n'")
    assert visible_devices() == ("0", "1")
    driver(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9")
    assert visible_devices() == ()


def test_a_driver_that_hangs_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(visible, "_PATIENCE", 0.2)
    driver(tmp_path, monkeypatch, "exec sleep 5")
    with pytest.raises(UserError, match="nvidia-smi did not answer"):
        visible_devices()


def test_a_device_has_one_lock_under_both_of_its_names(tmp_path, monkeypatch):
    driver(tmp_path, monkeypatch, "printf '0, GPU-aa11\\n1, GPU-bb22\\n'")
    assert lock_names(("1", "0")) == {"1": "1", "0": "0"}
    assert lock_names(("GPU-bb", "GPU-aa11")) == {"GPU-bb": "1", "GPU-aa11": "0"}
    assert lock_names(("MIG-7/1/0",)) == {"MIG-7/1/0": "MIG-7-1-0"}


def test_each_slurm_job_has_its_own_locks(machine, monkeypatch):
    folders = {lock_folder()}
    for job in ("7", "8"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        folders.add(lock_folder())
    assert len(folders) == 3
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)


def test_a_folder_that_others_can_write_to_is_refused(machine, tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks").chmod(0o777)
    with pytest.raises(UserError, match="not a folder that you alone can write to"):
        lease(1)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, 0),
        ({"gpu": 2}, 2),
        ({"gpu": 0, "gres": "gpu:1"}, 1),
        ({"gres": "gpu:a100:4"}, 4),
        ({"gres": "gpu"}, 1),
        ({"gres": "lscratch:20,gpu:tesla:2"}, 2),
        ({"gres": "lscratch:20"}, 0),
        ({"gres": ""}, 0),
    ],
)
def test_devices_that_a_job_asks_for(resources, expected):
    assert wanted_devices(json.loads(json.dumps(resources))) == expected
