"""Your own pictures: ``images/``, ``labels.csv``, ``classes.txt`` and, for evaluation only, ``masks/``.

``labels.csv`` has the columns ``image,split,labels``: the picture's name without extension, ``train`` or ``val``, and
class names separated by spaces (none is allowed). Nothing is copied: the index points at the files where they are.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seedbed.data.index import DataIndex, Record, read_classes, read_rows, validate_records
from seedbed.data.pictures import read_mask, read_picture
from seedbed.errors import DataError, unknown_name

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Of pictures, in lower or upper case."""
SPLITS = {"train": ("train", "trainaug"), "val": ("val",)}
_SHOWN = 20


def read_folder(source: Path, root: Path) -> DataIndex:
    """Index the folder ``source`` under the data set folder ``root``; every picture and mask is decoded once.

    ``train`` pictures also form the split ``trainaug``, on which networks train.

    Raises:
        DataError: listing every problem found: missing or corrupt pictures, unknown splits and labels, masks of
            another size or with values that are no class; or, once these are mended, ids listed twice.
    """
    if not (source / "images").is_dir():
        raise DataError(f"{source}: has no folder 'images'. Your own data needs images/, labels.csv and classes.txt.")
    table = source / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table}: no such file. It needs the columns image,split,labels.")
    check = _Check(source, read_classes(source / "classes.txt"), _pictures(source / "images"))
    lines = read_rows(table, ("image", "split", "labels"))
    rows = [(line, {name: value.strip() for name, value in row.items()}) for line, row in lines]
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda row: check.record(*row), rows))
    problems = [str(outcome) for outcome in outcomes if isinstance(outcome, DataError)]
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError("\n".join(problems[:_SHOWN]) + more)
    return DataIndex(root, check.classes, validate_records(outcomes, check.classes, str(table)))


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """Picture name without extension -> its files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    return found


@dataclass(frozen=True)
class _Check:
    """Turns a row of labels.csv into a record, or into the problem with it."""

    source: Path
    classes: tuple[str, ...]
    pictures: Mapping[str, list[Path]]

    def record(self, line: int, row: Mapping[str, str]) -> Record | DataError:
        try:
            return self._record(f"{self.source / 'labels.csv'}, line {line}", row)
        except DataError as error:
            return error

    def _record(self, where: str, row: Mapping[str, str]) -> Record:
        image, labels = row["image"], tuple(dict.fromkeys(row["labels"].split()))
        _require_known(where, "split", [row["split"]], SPLITS)
        _require_known(where, "label", labels, self.classes)
        picture = self._picture(where, image)
        size = read_picture(picture).shape[:2]
        mask = self.source / "masks" / f"{image}.png"
        if mask.is_file():
            read_mask(mask, size, len(self.classes))
        return Record(
            image=image,
            splits=SPLITS[row["split"]],
            labels=labels,
            path=str(picture.resolve()),
            mask=str(mask.resolve()) if mask.is_file() else None,
            size=size,
        )

    def _picture(self, where: str, image: str) -> Path:
        found = self.pictures.get(image, [])
        if not found:
            hint = " Leave the extension out." if Path(image).suffix.lower() in EXTENSIONS else ""
            folder, kinds = self.source / "images", ", ".join(EXTENSIONS)
            raise DataError(f"{where}: there is no picture '{image}' in {folder} ({kinds}).{hint}")
        if len(found) > 1:
            raise DataError(f"{where}: two pictures are named '{image}': {', '.join(path.name for path in found)}.")
        return found[0]


def _require_known(where: str, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise DataError(f"{where}: {unknown_name(kind, name, known)}")
