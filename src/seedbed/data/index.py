"""One index for every data set: ``index.csv`` beside the images, one line an image.

Columns: ``image`` (id), ``splits`` and ``labels`` (names separated by spaces), ``path`` and ``mask`` (relative to the
data set's folder; ``mask`` may be empty), ``height``, ``width``, ``boxes`` (``label:xmin,ymin,xmax,ymax`` separated by
spaces, 1-based and inclusive as in PASCAL VOC). ``classes.txt`` names the classes: line k is class index k of the
masks.

Files of your own data lie elsewhere: the link ``source`` in the data set's folder leads there. On disk they are named
by it, so that the index does not depend on the place; in memory they are absolute, so that messages name the true file.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seedbed.errors import DataError, unknown_name
from seedbed.io.atomic import write_text

NO_CLASSES = {
    **dict.fromkeys(("background", "_background_", "__background__"), "it is no class, but value 0 of every mask"),
    **dict.fromkeys(("__ignore__", "ignored", "void"), "it is no class, but value 255 of every mask"),
}
"""Names that tools write among the classes, in lower case, and what they stand for."""
LINK = "source"
COLUMNS = ("image", "splits", "labels", "path", "mask", "height", "width", "boxes")


@dataclass(frozen=True)
class Box:
    """A labelled box; pixel coordinates are 1-based and inclusive, as in PASCAL VOC."""

    label: str
    xmin: int
    ymin: int
    xmax: int
    ymax: int


@dataclass(frozen=True)
class Record:
    """One image of a data set.

    Attributes:
        image: id, unique in the data set.
        splits: names of the splits that hold it.
        labels: class names present, without background; may be empty.
        path: image file, relative to the data set's folder, or absolute where it lies elsewhere.
        mask: ground-truth mask file, likewise, or None.
        size: (height, width) in pixels.
        boxes: labelled boxes; empty where the data set has none.
    """

    image: str
    splits: tuple[str, ...]
    labels: tuple[str, ...]
    path: str
    mask: str | None
    size: tuple[int, int]
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class DataIndex:
    """A data set: its folder, its class names (background excluded) and its records, sorted by image id."""

    root: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    _class_index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_class_index", {name: k for k, name in enumerate(self.classes)})

    def class_indices(self, record: Record) -> tuple[int, ...]:
        """0-based indices of the record's labels, ascending."""
        return tuple(sorted(self._class_index[label] for label in record.labels))

    def class_index(self, name: str) -> int:
        """0-based index of a class name."""
        return self._class_index[name]

    def split(self, name: str) -> tuple[Record, ...]:
        """Records of a split, in index order; of ``trainaug-train``, those of the first that are not in the second.

        Raises:
            DataError: the data set has no such split.
        """
        chosen = tuple(record for record in self.records if name in record.splits)
        within, dash, without = name.partition(WITHOUT)
        if chosen:
            return chosen
        if not dash:
            raise DataError(f"{self.root}: {unknown_name('split', name, self.splits())}")
        self.split(without)  # which must be there
        return tuple(record for record in self.split(within) if without not in record.splits)

    def splits(self) -> dict[str, int]:
        """Number of images of each split."""
        return dict(sorted(Counter(split for record in self.records for split in record.splits).items()))


WITHOUT = "-"
"""Between two splits: the images of the first that are not in the second."""
SUBSETS = {
    "single_class": lambda record: len(record.labels) == 1,
    "two_classes": lambda record: len(record.labels) == 2,
}
"""Named conditions on a record that some tables and figures restrict themselves to."""


def subset(records: Sequence[Record], name: str | None) -> tuple[Record, ...]:
    """Records that meet a named condition; all of them if the name is None.

    Raises:
        DataError: the condition is unknown, or no record meets it.
    """
    if name is None:
        return tuple(records)
    if name not in SUBSETS:
        raise DataError(unknown_name("subset", name, SUBSETS))
    chosen = tuple(record for record in records if SUBSETS[name](record))
    if not chosen:
        raise DataError(f"No image of the split belongs to the subset '{name}'.")
    return chosen


def together(records: Sequence[Record]) -> int:
    """How many neighbours of a split every sharding keeps in one shard, 1..32: batches must not reach beyond them.

    The last bits of a network's answer depend on the size of the batch; this way an image's batch is the same, however
    many shards there are.
    """
    return max(1, min(32, len(records) // 16))


def shard(records: Sequence[Record], number: int, count: int) -> tuple[Record, ...]:
    """Return shard ``number`` (from 1) of ``count``: every count-th block of `together`, so that shards cost alike."""
    if not 1 <= number <= count:
        raise ValueError(f"shard {number} of {count} does not exist")
    size = together(records)
    starts = range((number - 1) * size, len(records), count * size)
    return tuple(record for start in starts for record in records[start : start + size])


def write_index(index: DataIndex) -> None:
    """Write ``classes.txt`` and ``index.csv`` into the data set's folder, each whole or not at all."""
    write_text(index.root / "classes.txt", "".join(f"{name}\n" for name in index.classes))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    linked = linked_folder(index.root)
    writer.writerows(_to_row(record, linked) for record in index.records)
    write_text(index.root / "index.csv", text.getvalue())


def linked_folder(root: Path) -> Path | None:
    """The folder that the data set's link leads to; None where it has none."""
    link = Path(root) / LINK
    return link.readlink() if link.is_symlink() else None


def stored_name(path: str, linked: Path | None) -> str:
    """How a file is named on disk: by the link, if it lies in the folder that this leads to."""
    if linked is None or not Path(path).is_relative_to(linked):
        return path
    return f"{LINK}/{Path(path).relative_to(linked).as_posix()}"


def _placed_name(path: str, linked: Path | None) -> str:
    return str(linked / path.removeprefix(f"{LINK}/")) if linked and path.startswith(f"{LINK}/") else path


def read_index(root: str | Path) -> DataIndex:
    """Read a prepared data set's ``index.csv`` and ``classes.txt``.

    Raises:
        DataError: a file is missing, a column is missing, a value does not parse, an id is listed twice, or a label is
            not in ``classes.txt``; the line is named.
    """
    root = Path(root)
    classes = read_classes(root / "classes.txt")
    path = root / "index.csv"
    return DataIndex(root, classes, tuple(_read_records(path, set(classes))))


def read_classes(path: Path) -> tuple[str, ...]:
    """Read class names, one a line; line k names class index k, which is ``k + 1`` in masks.

    Raises:
        DataError: the file is missing, empty or not UTF-8, or a name comes twice, holds a space or is ``background``.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. It must name the classes, one a line.")
    try:
        return parse_classes(path.read_text(encoding="utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error}).") from None


def parse_classes(text: str, source: str | Path) -> tuple[str, ...]:
    """Class names of a text with one a line; see `read_classes`. ``source`` is what messages name.

    Raises:
        DataError: there is no name, or one comes twice, holds a space, comma or colon, or stands for the background.
    """
    names = [name for name in (line.strip().lstrip("\ufeff") for line in text.splitlines()) if name]
    if not names:
        raise DataError(f"{source}: names no class.")
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{source}: class '{name}' is named {count} times.")
        if any(char in ",:" or char.isspace() for char in name):
            raise DataError(f"{source}: class name '{name}' must not hold a space, comma or colon.")
        if name.lower() in NO_CLASSES:
            raise DataError(f"{source}: leave out '{name}'; {NO_CLASSES[name.lower()]}.")
    return tuple(names)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV file with a header that names at least ``columns``; UTF-8, BOM or not.

    Raises:
        DataError: naming file and line: no UTF-8, no CSV, a missing column, too many or too few values.
    """
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            missing = set(columns) - set(reader.fieldnames)
            if missing:
                raise DataError(f"{path}: lacks the column(s) {', '.join(sorted(missing))}.")
            for row in reader:
                line = reader.line_num
                if None in row or None in row.values():
                    found = sum(value is not None for name, value in row.items() if name) + len(row.get(None, ()))
                    raise DataError(
                        f"{path}, line {line}: {found} values for {len(reader.fieldnames)} columns. Names within a "
                        "column are separated by spaces, not commas."
                    )
                yield line, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}, after line {line}: not CSV in UTF-8 ({error}).") from None


def validate_records(records: Iterable[Record], classes: Sequence[str], source: str) -> tuple[Record, ...]:
    """Sort records by id after checking that ids are unique and labels known.

    Raises:
        DataError: naming ``source`` and the ids or labels at fault.
    """
    records = sorted(records, key=lambda record: record.image)
    twice = [image for image, count in Counter(record.image for record in records).items() if count > 1]
    if twice:
        raise DataError(f"{source}: image ids listed more than once: {', '.join(twice[:10])}.")
    for record in records:
        for label in record.labels:
            if label not in classes:
                raise DataError(f"{source}: image '{record.image}': {unknown_name('label', label, classes)}")
    if not records:
        raise DataError(f"{source}: lists no image.")
    return tuple(records)


def _to_row(record: Record, linked: Path | None) -> dict[str, str | int]:
    boxes = (f"{box.label}:{box.xmin},{box.ymin},{box.xmax},{box.ymax}" for box in record.boxes)
    return {
        "image": record.image,
        "splits": " ".join(record.splits),
        "labels": " ".join(record.labels),
        "path": stored_name(record.path, linked),
        "mask": stored_name(record.mask, linked) if record.mask else "",
        "height": record.size[0],
        "width": record.size[1],
        "boxes": " ".join(boxes),
    }


def _read_records(path: Path, classes: set[str]) -> Iterator[Record]:
    if not path.is_file():
        raise DataError(f"{path}: no such file. Prepare the data set first.")
    seen: set[str] = set()
    linked = linked_folder(path.parent)
    for line, row in read_rows(path, COLUMNS):
        try:
            record = _from_row(row, linked)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}.") from None
        if record.image in seen:
            raise DataError(f"{path}, line {line}: image '{record.image}' is listed twice.")
        for label in (*record.labels, *(box.label for box in record.boxes)):
            if label not in classes:
                raise DataError(f"{path}, line {line}: {unknown_name('label', label, classes)}")
        seen.add(record.image)
        yield record


def _from_row(row: dict[str, str], linked: Path | None) -> Record:
    return Record(
        image=row["image"],
        splits=tuple(row["splits"].split()),
        labels=tuple(row["labels"].split()),
        path=_placed_name(row["path"], linked),
        mask=_placed_name(row["mask"], linked) or None,
        size=(int(row["height"]), int(row["width"])),
        boxes=tuple(_parse_box(text) for text in row["boxes"].split()),
    )


def _parse_box(text: str) -> Box:
    label, _, numbers = text.partition(":")
    xmin, ymin, xmax, ymax = (int(number) for number in numbers.split(","))
    return Box(label, xmin, ymin, xmax, ymax)
