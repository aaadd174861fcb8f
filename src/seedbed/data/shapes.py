"""The built-in data set: procedural scenes written in PASCAL VOC's layout, so that the VOC reader serves both.

Two variants: multi-label scenes, and single-object images with boxes (the stand-in for ImageNet).
"""

from itertools import chain
from pathlib import Path

from seedbed.data.index import Box, DataIndex, validate_records
from seedbed.data.shapes_scene import CLASS_NAMES, render_scene
from seedbed.data.voc import make_voc_folders, read_voc, write_image_lists, write_voc_item
from seedbed.errors import ParameterError
from seedbed.io.atomic import atomic_directory

FOLDER = "VOCdevkit"
LICENCE = "CC0-1.0 (made by this project's own generator)"
_YEAR = 1_000_000  # held-out images come from other seeds than training ones


def make_shapes(
    root: Path, *, seed: int, size: int, train: int, trainaug: int, val: int, test: int = 0, single_object: bool
) -> DataIndex:
    """Draw the data set into ``root/VOCdevkit``, whole or not at all, and index it.

    Args:
        root: the data set's folder.
        seed: seed of the whole data set; image i depends on (seed, i) alone.
        size: side length of the square images in pixels.
        train: images with a mask, on which seeds and pseudo masks are scored.
        trainaug: images that networks train on; the first ``train`` of them are the ``train`` split, as in VOC.
        val, test: held-out images; either may be 0.
        single_object: one object an image instead of one to three.

    Raises:
        ParameterError: ``train`` is larger than ``trainaug``.
    """
    if train > trainaug:
        raise ParameterError(f"train ({train}) must not exceed trainaug ({trainaug}), of which it is the first part.")
    offsets = {"trainaug": (0, trainaug), "val": (_YEAR, val), "test": (2 * _YEAR, test)}
    numbers = {split: range(start, start + count) for split, (start, count) in offsets.items() if count}
    with atomic_directory(root / FOLDER) as base:
        make_voc_folders(base)
        for number in chain(*numbers.values()):
            _draw(base, seed, number, size, single_object)
        lists = {split: [_name(number) for number in members] for split, members in numbers.items()}
        lists["train"] = lists["trainaug"][:train]
        write_image_lists(base, {_list_name(split): members for split, members in lists.items()})
    splits = {split: _list_name(split) for split in lists}
    records = validate_records(read_voc(root, FOLDER, splits), CLASS_NAMES, str(root / FOLDER))
    return DataIndex(root, CLASS_NAMES, records)


def _draw(base: Path, seed: int, number: int, size: int, single_object: bool) -> None:
    scene = render_scene((seed, number), size, single_object)
    boxes = [Box(CLASS_NAMES[label], *box) for label, box in zip(scene.classes, scene.boxes, strict=True)]
    write_voc_item(base, _name(number), scene.image, scene.mask, boxes)


def _name(number: int) -> str:
    """Ids of eleven characters, as VOC's: ``2026_000042``."""
    return f"{2026 + number // _YEAR}_{number % _YEAR:06d}"


def _list_name(split: str) -> str:
    return f"Segmentation/{split}"
