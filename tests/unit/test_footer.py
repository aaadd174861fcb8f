"""Lines at the bottom of a terminal, on a pseudo-terminal whose bytes are read back."""

import fcntl
import os
import struct
import termios

import pytest

from seedbed.io.footer import Footer


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def terminal():
    """Both ends of a terminal of 24 lines: what is written into the second is read from the first."""
    reader, writer = os.openpty()
    resize(writer, 24, 80)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def given(*lines):
    """Lines that do not mind how wide the terminal is."""
    return lambda width: list(lines)


def written(reader):
    return os.read(reader, 65536).decode().replace("\r\n", "\n")


def test_the_region_that_scrolls_ends_above_the_lines(terminal):
    reader, writer = terminal
    footer = Footer(writer)
    footer.show(given("one", "two"))
    first = written(reader)
    assert first.startswith("\n\n\x1b[2A"), "room is made below the cursor"
    assert "\x1b7\x1b[1;22r\x1b8" in first, "setting a region moves the cursor, which is put back"
    assert first.endswith("\x1b7\x1b[23;1H\x1b[2Kone\x1b[24;1H\x1b[2Ktwo\x1b8")
    footer.show(given("three", "four"))
    assert written(reader) == "\x1b7\x1b[23;1H\x1b[2Kthree\x1b[24;1H\x1b[2Kfour\x1b8"
    footer.remove()
    assert written(reader) == "\x1b7\x1b[r\x1b8\x1b[J"
    footer.remove()  # nothing is left to give back
    os.write(writer, b".")
    assert written(reader) == "."


def test_another_size_of_the_terminal_makes_the_region_anew(terminal):
    reader, writer = terminal
    footer = Footer(writer)
    footer.show(given("one"))
    written(reader)
    resize(writer, 30, 80)
    footer.show(given("one"))
    assert written(reader).startswith("\x1b7\x1b[r\x1b8\x1b[J\n\x1b[1A\x1b7\x1b[1;29r\x1b8\x1b7\x1b[30;1H")


@pytest.mark.parametrize("size", [(9, 80), (24, 39), (0, 0)])
def test_a_terminal_without_room_has_none(terminal, size):
    reader, writer = terminal
    footer = Footer(writer)
    footer.show(given("one", "two"))
    written(reader)
    resize(writer, *size)
    assert not footer.fits(given("one", "two"))
    footer.show(given("one", "two"))
    assert written(reader) == "\x1b7\x1b[r\x1b8\x1b[J"


def test_lines_are_told_the_width_that_is_theirs(terminal):
    told = []
    Footer(terminal[1]).show(lambda width: told.append(width) or ["one"])
    assert set(told) == {79}
