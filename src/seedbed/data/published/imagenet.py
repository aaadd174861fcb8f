"""The validation part of ImageNet ILSVRC 2012: classes in the order of their synset ids, labels from the devkit."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from seedbed.data.images import picture_size
from seedbed.data.index import Box, DataIndex, Record, validate_records
from seedbed.data.published.catalogue import published
from seedbed.data.published.counts import require_counts
from seedbed.data.voc import read_annotation
from seedbed.data.workers import Workers
from seedbed.errors import DataError, unknown_name
from seedbed.io.progress import progress

IMAGES = "raw/imagenet_val"
DEVKIT = "raw/imagenet_devkit/ILSVRC2012_devkit_t12/data"
BOXES = "raw/imagenet_val_boxes"
EXPECTED = MappingProxyType({"val": 50000})
NUM_CLASSES = 1000


@dataclass(frozen=True)
class Synset:
    """A class: WordNet id such as ``n01440764``, class name, and its number in the devkit's label file."""

    wnid: str
    name: str
    number: int


@published("imagenet", splits="val", offers="boxes single_label")
def prepare_imagenet(
    root: str | Path,
    *,
    expected: Mapping[str, int] = EXPECTED,
    num_classes: int = NUM_CLASSES,
    workers: int | None = None,
) -> DataIndex:
    """Index the ImageNet validation images below ``root/raw``.

    Class k is the k-th WordNet id, as in networks trained on ImageNet; its name is ``<id>_<first word>``. The images
    may lie in one folder, as published, or in one folder a class. Boxes are taken where their archive is there, as
    published.

    Args:
        root: the data set's folder.
        expected: images of the split ``val``.
        num_classes: how many classes the devkit must have.
        workers: processes; None takes all processors.

    Raises:
        DataError: a raw file is missing or damaged, labels and images do not match, or their number is another.
    """
    root = Path(root)
    synsets = read_synsets(root / DEVKIT / "meta.mat")
    if len(synsets) != num_classes:
        raise DataError(f"{root / DEVKIT}: has {len(synsets)} classes, not {num_classes}. Fetch the devkit again.")
    names = tuple(synset.name for synset in synsets)
    labels = _read_labels(root / DEVKIT / "ILSVRC2012_validation_ground_truth.txt", synsets)
    images, boxes = _files(root / IMAGES, ".JPEG"), _files(root / BOXES, ".xml")
    missing = sorted(set(labels) ^ set(images))
    if missing:
        raise DataError(
            f"{root / IMAGES}: {len(images)} images for {len(labels)} labels of the devkit; {missing[0]} has one only."
        )
    if boxes and set(boxes) != set(images):
        raise DataError(f"{root / BOXES}: boxes of {len(boxes)} images, not of {len(images)}. Unpack it again.")
    work = _MakeRecord(root, {synset.wnid: synset.name for synset in synsets})
    items = [(labels[image], images[image], boxes.get(image)) for image in sorted(labels)]
    with Workers(workers) as pool:
        records = list(progress(pool.map(work, items, chunk=64), len(items), "images"))
    index = DataIndex(root, names, validate_records(records, names, str(root / IMAGES)))
    return require_counts(index, expected)


def read_synsets(path: Path) -> tuple[Synset, ...]:
    """The classes of the devkit's ``meta.mat`` (MATLAB 5), sorted by WordNet id; inner nodes of the tree are left out.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as stream:
            table = np.atleast_1d(scipy.io.loadmat(stream, squeeze_me=True)["synsets"])
        leaves = table[[int(count) == 0 for count in table["num_children"]]]
        rows = zip(leaves["WNID"], leaves["words"], leaves["ILSVRC2012_ID"], strict=True)
        synsets = [Synset(str(wnid), _class_name(str(wnid), str(words)), int(number)) for wnid, words, number in rows]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Unpack the devkit.") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path}: not the devkit's table of classes ({error}). Unpack the devkit again.") from None
    return tuple(sorted(synsets, key=lambda synset: synset.wnid))


def _class_name(wnid: str, words: str) -> str:
    """A name without spaces, commas and colons; unique, because the id is part of it."""
    return f"{wnid}_{re.sub(r'[^0-9A-Za-z-]+', '_', words.split(',')[0].strip())}"


def _read_labels(path: Path, synsets: tuple[Synset, ...]) -> dict[str, str]:
    """Image name -> class name; line i of the file labels image i."""
    by_number = {synset.number: synset.name for synset in synsets}
    try:
        numbers = [int(line) for line in path.read_text(encoding="utf-8").split()]
        return {f"ILSVRC2012_val_{i:08d}": by_number[number] for i, number in enumerate(numbers, start=1)}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Unpack the devkit.") from None
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: {error} is no class number of meta.mat. Unpack the devkit again.") from None


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    """Name without suffix -> file, wherever below ``folder`` it lies; empty if there is no such folder."""
    found: dict[str, Path] = {}
    for path in folder.rglob(f"ILSVRC2012_val_*{suffix}"):
        if path.stem in found:
            raise DataError(f"{folder}: holds {path.name} twice: {found[path.stem]} and {path}.")
        found[path.stem] = path
    return found


@dataclass(frozen=True)
class _MakeRecord:
    """Makes the record of (class name, image, boxes or None); ``names`` are the classes by WordNet id."""

    root: Path
    names: Mapping[str, str]

    def __call__(self, item: tuple[str, Path, Path | None]) -> Record:
        label, image, annotation = item
        boxes = tuple(self._boxes(annotation)) if annotation else ()
        path = str(image.relative_to(self.root))
        return Record(image.stem, ("val",), (label,), path, None, picture_size(image), boxes)

    def _boxes(self, path: Path) -> Iterator[Box]:
        for box in read_annotation(path):
            if box.label not in self.names:
                raise DataError(f"{path}: {unknown_name('WordNet id', box.label, self.names)}")
            yield replace(box, label=self.names[box.label])
