"""Work by several processes: in order, bounded ahead, errors raised, a dead process noticed."""

import os
import signal
import time
from pathlib import Path

import pytest

from seedbed.data.workers import Workers
from seedbed.errors import DataError, UserError


def square(number):
    return number * number


def fail_at_seven(number):
    if number == 7:
        raise DataError("7 is at fault.")
    return number


def die_at_seven(number):
    if number == 7:
        os._exit(9)
    return number


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_results_come_in_order(count, chunk):
    with Workers(count) as pool:
        assert list(pool.map(square, range(50), chunk)) == [number * number for number in range(50)]
        assert list(pool.map(square, [])) == []


def test_several_processes_work():
    with Workers(2) as pool:
        processes = set(pool.map(identify, range(40), chunk=1))
    assert os.getpid() not in processes and len(processes) == 2


def identify(_):
    import time

    time.sleep(0.01)
    return os.getpid()


def test_items_are_taken_a_bounded_number_ahead():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with Workers(2) as pool:
        results = pool.map(square, items(), chunk=5)
        next(results)
        assert len(taken) <= 5 * 3 * 2
        assert len(list(results)) == 999


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_is_raised_where_the_results_are_read(count):
    with pytest.raises(DataError, match="7 is at fault"), Workers(count) as pool:
        list(pool.map(fail_at_seven, range(20), chunk=2))


def test_a_process_that_dies_is_noticed():
    with pytest.raises(UserError, match="One of 2 worker processes died"), Workers(2) as pool:
        list(pool.map(die_at_seven, range(20), chunk=2))


def test_processes_end_with_one_that_is_killed():
    """A parent that is killed cannot end its workers; they see that it is gone."""
    reading, writing = os.pipe()
    parent = os.fork()
    if not parent:
        with Workers(2) as pool:
            os.write(writing, f"{next(iter(pool.map(identify, range(4), chunk=1)))}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    worker = int(os.read(reading, 20))
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists() or "\tZ" in Path(f"/proc/{worker}/status").read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"worker {worker} still lives")
