"""Lines at the bottom of a terminal that stay there while everything else scrolls above them.

The terminal itself keeps the lines apart (its scrolling region), so that whatever other processes print is shown whole.
"""

import os
from collections.abc import Callable, Sequence

_SAVE, _BACK, _WHOLE, _BELOW = "\x1b7", "\x1b8", "\x1b[r", "\x1b[J"
ROOM = 8
"""Lines of text that must be left above; a smaller terminal has no footer."""
NARROWEST = 40
"""Columns that it needs."""
Lines = Callable[[int], Sequence[str]]
"""Gives the lines, none longer than the width that it is told."""


class Footer:
    """Lines at the bottom of a terminal.

    Args:
        stream: file descriptor of the terminal.
    """

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self._held: tuple[int, int, int] | None = None  # columns and rows of the terminal, lines of the footer

    def fits(self, lines: Lines) -> bool:
        """Whether the terminal has room for the lines."""
        columns, rows = os.get_terminal_size(self.stream)
        return columns >= NARROWEST and rows >= len(lines(columns - 1)) + ROOM

    def show(self, text_of: Lines) -> None:
        """Draw the lines in the place of those before; none where they do not fit any more."""
        if not self.fits(text_of):
            self.remove()
            return
        columns, rows = os.get_terminal_size(self.stream)
        lines = text_of(columns - 1)
        text = ""
        if self._held != (columns, rows, len(lines)):
            text = self._release() + self._claim(rows, len(lines))
            self._held = (columns, rows, len(lines))
        first = rows - len(lines) + 1
        drawn = "".join(f"\x1b[{first + place};1H\x1b[2K{line}" for place, line in enumerate(lines))
        self._write(f"{text}{_SAVE}{drawn}{_BACK}")

    def remove(self) -> None:
        """Give the lines back to the terminal."""
        if self._held:
            self._write(self._release())

    def _claim(self, rows: int, lines: int) -> str:
        """Room below the cursor, then a region that ends above it; setting one moves the cursor, so it is put back."""
        return "\n" * lines + f"\x1b[{lines}A{_SAVE}\x1b[1;{rows - lines}r{_BACK}"

    def _release(self) -> str:
        held, self._held = self._held, None
        return f"{_SAVE}{_WHOLE}{_BACK}{_BELOW}" if held else ""

    def _write(self, text: str) -> None:
        """In one piece, so that no other process writes in the middle of it."""
        os.write(self.stream, text.encode())
