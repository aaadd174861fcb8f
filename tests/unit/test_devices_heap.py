"""Memory that is freed and asked for again costs no second round of page faults."""

import subprocess
import sys

import pytest

from seedbed.devices.heap import keep_freed_memory

PROGRAM = """
import resource
from seedbed.devices.heap import keep_freed_memory
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**20) for _ in range(20)]  # 160 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{keep}
faults()
print(faults())
"""


def faults_of_the_second_round(keep):
    """Page faults of arrays that take the place of others, which were freed."""
    program = PROGRAM.format(keep="assert keep_freed_memory()" if keep else "")
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library keeps what it wants")
def test_memory_that_was_freed_is_taken_again():
    assert faults_of_the_second_round(keep=True) < faults_of_the_second_round(keep=False) / 5


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
