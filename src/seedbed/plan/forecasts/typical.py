"""What images of a data set are like before it is there: sizes, labels, classes, and how many a split holds."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from seedbed.data.index import WITHOUT
from seedbed.data.own_counts import imagenet_counts, split_counts
from seedbed.errors import DataError
from seedbed.io.registrations import registrations
from seedbed.params.data import PUBLISHED, Folder, ImagenetFolder, Published, Shapes


class Typical(NamedTuple):
    """A typical image.

    Attributes:
        height, width: pixels.
        labels: classes of an image, on average.
        classes: of the data set, background excluded.
    """

    height: int
    width: int
    labels: float
    classes: int

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.height * self.width


_VOC, _IMAGENET = Typical(375, 500, 1.5, 20), Typical(375, 500, 1.0, 1000)
_KINDS = {
    "voc12": _VOC,
    "coco14": Typical(480, 640, 2.9, 80),
    "cub200": Typical(375, 500, 1.0, 200),
    "imagenet": _IMAGENET,
    "folder": _VOC,  # images of one's own are taken to be like these
    "imagenet_folder": _IMAGENET,
}
_ANY = Typical(375, 500, 1.0, 1)
_SHAPES = 6  # only the size of heads depends on it


def typical_image(dataset: Any) -> Typical:
    """The typical image of a data set, from its section."""
    if isinstance(dataset, Shapes):
        return Typical(dataset.size, dataset.size, 1.0 if dataset.single_object else 1.5, _SHAPES)
    return _KINDS.get(dataset.kind, _ANY)


def split_sizes(dataset: Any) -> Mapping[str, int]:
    """Images of each split, as far as they are known before the data set is there."""
    if isinstance(dataset, Shapes):
        return {name: getattr(dataset, name) for name in ("train", "trainaug", "val", "test")}
    if isinstance(dataset, Published):
        return dataset.options.get("expected") or _published(dataset.kind)
    if isinstance(dataset, Folder | ImagenetFolder):
        return _listed(isinstance(dataset, Folder), str(dataset.path))
    return {}


def images_of(dataset: Any, names: Mapping[str, str]) -> float | None:
    """Images of a job by the names in its path: its shard's part of its split; None where nobody knows yet."""
    sizes = split_sizes(dataset)
    within, _, without = (names.get("split") or "").partition(WITHOUT)
    if within not in sizes or (without and without not in sizes):
        return None
    count = sizes[within] - (sizes[without] if without else 0)
    return count / int(names.get("scatteritem", "1-of-1").rpartition("-")[2])


@cache
def _published(kind: str) -> Mapping[str, int]:
    (entry,) = registrations(*PUBLISHED)[kind]
    return getattr(import_module(entry.module), "EXPECTED", {})


@cache
def _listed(own: bool, path: str) -> Mapping[str, int]:
    """Images that a folder's lists name; none where they are at fault, which the job that indexes it tells."""
    try:
        return split_counts(path) if own else imagenet_counts(path)
    except (DataError, OSError):
        return {}
