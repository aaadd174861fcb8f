"""``labels.csv`` as people and their programs write it: the one reader of it, for planning and for indexing.

Any of the separators comma, semicolon, tab and ``|``; the header in any case and order; ``Train``, ``training``,
``valid`` and ``validation`` for the splits; UTF-8 with or without a byte-order mark, UTF-16, or Latin-1.
"""

import csv
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seedbed.errors import DataError

COLUMNS = ("image", "split", "labels")
SPLITS = {"train": ("train", "trainaug"), "val": ("val",)}
"""Split of your own data -> splits of the index: ``trainaug`` is what networks train on."""
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'"}
_ALSO = {"training": "train", "valid": "val", "validation": "val"}
_ZIP = b"PK\x03\x04"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


@dataclass(frozen=True)
class LabelRow:
    """A line of the table: its number in the file, the image's name, its split as `split_name` gives it, its labels."""

    line: int
    image: str
    split: str
    labels: tuple[str, ...]


def split_name(text: str) -> str:
    """The usual name of a split: ``train`` or ``val`` for what is meant by it, other names as they are."""
    name = text.strip()
    return _ALSO.get(name.lower(), name.lower() if name.lower() in SPLITS else name)


def read_own_text(path: Path) -> str:
    """Text of a file that a person or their program wrote.

    UTF-8 and UTF-16 are told by their byte-order mark, UTF-16 without one by its zero bytes; what is no UTF-8 is read
    as Latin-1 (Windows-1252), with a warning.

    Raises:
        DataError: the file is missing, may not be read, or is no text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    if content.startswith(_ZIP):
        raise DataError(f"{path}: is a spreadsheet or another archive, no text. Save it as CSV (UTF-8).")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:2000]:
        encoding = "utf-16-le" if b"\0" in content[1:2000:2] else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(f"{path}: is no text ({error}). Save it as UTF-8.") from None
    logging.warning("%s: is not UTF-8; it is read as Latin-1 (Windows-1252).", path)
    return content.decode("cp1252", "replace")


def read_labels(path: Path, problems: list[str]) -> list[LabelRow]:
    """Read ``labels.csv``.

    Args:
        path: the table.
        problems: takes a message for each line that has too many or too few values; such a line is left out.

    Raises:
        DataError: the table as a whole cannot be read: a column is missing, or it has no line below its header. What
            was found is said.
    """
    text = read_own_text(path)
    try:
        return list(_rows(path, text, problems))
    except csv.Error as error:
        raise DataError(f"{path}: is no table ({error}).") from None


def _rows(path: Path, text: str, problems: list[str]) -> Iterator[LabelRow]:
    text, skipped = _without_hint(text)
    separator, header = _header(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    places = [header.index(name) for name in COLUMNS]
    found = False
    for values in (row for row in reader if any(value.strip() for value in row)):
        if not found:
            found = True  # the header
            continue
        line = reader.line_num + skipped
        while len(values) > len(header) and not values[-1].strip():
            values.pop()  # empty columns that a spreadsheet adds
        if len(values) != len(header):
            problems.append(
                f"{path}, line {line}: {len(values)} values for {len(header)} columns. Names within a "
                "column are separated by spaces, not commas."
            )
            continue
        image, split, labels = (values[place].strip() for place in places)
        names = labels.replace(",", " ").replace(";", " ").split()  # a class name holds neither
        yield LabelRow(line, image, split_name(split), tuple(dict.fromkeys(names)))


def _without_hint(text: str) -> tuple[str, int]:
    """The text without a first line such as ``sep=;``, meant for spreadsheets, and how many lines that took."""
    first, _, rest = text.partition("\n")
    return (rest, 1) if first.strip().lower() in {f"sep={separator}" for separator in _SEPARATORS} else (text, 0)


def _header(path: Path, text: str) -> tuple[str, list[str]]:
    """The separator under which the first line names most of the columns, and the names under it in lower case."""
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        raise DataError(f"{path}: is empty. It needs the columns {','.join(COLUMNS)}.")
    headers = {separator: _names(first, separator) for separator in _SEPARATORS}
    separator = max(headers, key=lambda key: len(set(COLUMNS) & set(headers[key])))  # the first of equals: the comma
    missing = [name for name in COLUMNS if name not in headers[separator]]
    if missing:
        names = next(csv.reader([first], delimiter=separator))
        raise DataError(f"{path}: lacks the column(s) {', '.join(missing)}. {_what_was_found(names)}")
    return separator, headers[separator]


def _names(line: str, separator: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([line], delimiter=separator))]


def _what_was_found(names: list[str]) -> str:
    if len(names) == 1:
        return (
            f"Its first line is one column named '{names[0].strip()}': separated by something else than "
            f"{', '.join(_SEPARATORS.values())}, or no header?"
        )
    return f"Its first line names {', '.join(repr(name.strip()) for name in names)}."
