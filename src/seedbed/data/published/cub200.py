"""Caltech-UCSD Birds-200-2011: 200 species, one bird an image, with its box and its segmentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from seedbed.data.boxes import corners
from seedbed.data.images import picture_size
from seedbed.data.index import Box, DataIndex, Record, validate_records
from seedbed.data.published.catalogue import published
from seedbed.data.published.counts import require_counts
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import UNREADABLE, encode_mask
from seedbed.io.progress import progress

CUB = "raw/cub200_images/CUB_200_2011"
SEGMENTATIONS = "raw/cub200_segmentations/segmentations"
MASKS = "masks"
EXPECTED = MappingProxyType({"train": 5994, "trainaug": 5994, "test": 5794})
SPLITS = {"1": ("train", "trainaug"), "0": ("test",)}


@dataclass(frozen=True)
class _Item:
    """What the lists say of an image: file below ``images``, class number from 0, splits, and x, y, width, height."""

    file: str
    label: int
    splits: tuple[str, ...]
    box: tuple[float, float, float, float]


@published("cub200", splits="train trainaug test", offers="boxes masks single_label", one_train=True)
def prepare_cub200(
    root: str | Path, *, expected: Mapping[str, int] = EXPECTED, threshold: float = 0.5, workers: int | None = None
) -> DataIndex:
    """Index CUB-200-2011 below ``root/raw``, and write its masks to ``root/masks`` as palette PNGs.

    A mask holds ``k + 1`` for class k where more than ``threshold`` of the annotators saw the bird (the published
    segmentations are grey), 0 elsewhere. Boxes are turned from x, y, width, height to 1-based inclusive corners.
    ``train`` is also ``trainaug``, on which networks train.

    Args:
        root: the data set's folder.
        expected: images of each split.
        threshold: share of annotators, in [0, 1).
        workers: processes; None takes all processors.

    Raises:
        DataError: a raw file is missing or damaged, or a split has another number of images.
    """
    root = Path(root)
    classes = tuple(name for (name,) in _read_list(root / CUB / "classes.txt", 1).values())
    items = _read_items(root / CUB, len(classes))
    with atomic_directory(root / MASKS) as masks, Workers(workers) as pool:
        work = _Prepare(root, masks, classes, threshold)
        records = list(progress(pool.map(work, items), len(items), "images"))
        index = DataIndex(root, classes, validate_records(records, classes, str(root / CUB)))
        return require_counts(index, expected)


def _read_items(folder: Path, num_classes: int) -> list[_Item]:
    files, labels = _read_list(folder / "images.txt", 1), _read_list(folder / "image_class_labels.txt", 1)
    splits, boxes = _read_list(folder / "train_test_split.txt", 1), _read_list(folder / "bounding_boxes.txt", 4)
    for name, table in (("image_class_labels", labels), ("train_test_split", splits), ("bounding_boxes", boxes)):
        if set(table) != set(files):
            number = min(set(table) ^ set(files))
            raise DataError(f"{folder / name}.txt: does not list the images of images.txt; they differ at {number}.")
    items = []
    for number, (file,) in files.items():
        label, part = labels[number][0], splits[number][0]
        if part not in SPLITS or not label.isdigit() or not 1 <= int(label) <= num_classes:
            raise DataError(f"{folder}: image {number} has the class '{label}' and the split '{part}'.")
        try:
            x, y, width, height = (float(text) for text in boxes[number])
        except ValueError as error:
            raise DataError(f"{folder / 'bounding_boxes.txt'}: image {number}: {error}.") from None
        items.append(_Item(file, int(label) - 1, SPLITS[part], (x, y, width, height)))
    return items


def _read_list(path: Path, values: int) -> dict[str, list[str]]:
    """Lines of ``<number> <value> ...``, by number."""
    if not path.is_file():
        raise DataError(f"{path}: no such list. Unpack the archive again.")
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for row in rows:
        if len(row) != values + 1:
            raise DataError(f"{path}: '{' '.join(row)}' must be a number and {values} value(s).")
    return {row[0]: row[1:] for row in rows}


@dataclass(frozen=True)
class _Prepare:
    """Makes the record of an image, and writes its mask."""

    root: Path
    masks: Path
    classes: tuple[str, ...]
    threshold: float

    def __call__(self, item: _Item) -> Record:
        name = Path(item.file).stem
        image = f"{CUB}/images/{item.file}"
        size = picture_size(self.root / image)
        bird = _read_grey(self.root / SEGMENTATIONS / Path(item.file).with_suffix(".png"), size) > self.threshold * 255
        (self.masks / f"{name}.png").write_bytes(encode_mask(bird.astype(np.uint8) * np.uint8(item.label + 1)))
        label = self.classes[item.label]
        box = Box(label, *corners(*item.box, size))
        return Record(name, item.splits, (label,), image, f"{MASKS}/{name}.png", size, (box,))


def _read_grey(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such segmentation. Unpack the archive again.") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable segmentation ({error}). Unpack the archive again.") from None
    if grey.shape != size:
        raise DataError(f"{path}: is {grey.shape[0]} x {grey.shape[1]}, its image {size[0]} x {size[1]}.")
    return grey
