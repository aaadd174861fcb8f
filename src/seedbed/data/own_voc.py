"""Your own pictures in PASCAL VOC's layout, read where they are."""

from dataclasses import replace
from pathlib import Path

from seedbed.data.index import DataIndex, Record, read_classes, validate_records
from seedbed.data.voc import VOC_CLASSES, read_voc
from seedbed.errors import DataError

_LISTS = ("Segmentation", "Main")


def find_voc(source: Path) -> Path | None:
    """The folder with ``JPEGImages`` and ``Annotations``: ``source``, one in it, or one in its ``VOCdevkit``.

    Raises:
        DataError: there are several.
    """
    places = [source, *sorted(source.glob("*")), *sorted(source.glob("VOCdevkit/*"))]
    found = [place for place in places if (place / "JPEGImages").is_dir() and (place / "Annotations").is_dir()]
    if len(found) > 1:
        raise DataError(f"{source}: holds several data sets in VOC's layout: {', '.join(map(str, found))}. Give one.")
    return found[0] if found else None


def read_own_voc(base: Path, root: Path) -> DataIndex:
    """Index ``base`` under the data set folder ``root``.

    The splits ``train`` and ``val`` are the lists in ``ImageSets/Segmentation``, or in ``ImageSets/Main`` where there
    is none; ``trainaug`` is the list of that name, or ``train``. Classes are those of ``classes.txt``; without it VOC's
    20 if the annotations name no other; without masks any, sorted by name.

    Args:
        base: the folder that holds ``JPEGImages``.
        root: the data set's folder.

    Raises:
        DataError: a list, picture or annotation is missing or damaged, or the classes of the masks are unknown.
    """
    records = [_absolute(base, record) for record in read_voc(base, ".", _splits(base))]
    classes = _classes(base, records)
    return DataIndex(root, classes, validate_records(records, classes, str(base)))


def _splits(base: Path) -> dict[str, str]:
    for folder in _LISTS:
        if all((base / "ImageSets" / folder / f"{split}.txt").is_file() for split in ("train", "val")):
            extra = (base / "ImageSets" / folder / "trainaug.txt").is_file()
            return {
                "train": f"{folder}/train",
                "trainaug": f"{folder}/trainaug" if extra else f"{folder}/train",
                "val": f"{folder}/val",
            }
    raise DataError(f"{base / 'ImageSets'}: needs train.txt and val.txt in {' or '.join(_LISTS)}, one image id a line.")


def _absolute(base: Path, record: Record) -> Record:
    mask = str((base / record.mask).resolve()) if record.mask else None
    return replace(record, path=str((base / record.path).resolve()), mask=mask)


def _classes(base: Path, records: list[Record]) -> tuple[str, ...]:
    if (base / "classes.txt").is_file():
        return read_classes(base / "classes.txt")
    names = {label for record in records for label in record.labels}
    if names <= set(VOC_CLASSES):
        return VOC_CLASSES
    if any(record.mask for record in records):
        strange = sorted(names - set(VOC_CLASSES))
        raise DataError(
            f"{base}: the annotations name classes that are not VOC's ({', '.join(strange[:5])}), so the values of the "
            f"masks are unknown. Write {base / 'classes.txt'}: one class a line, in the order of the masks' values."
        )
    return tuple(sorted(names))
