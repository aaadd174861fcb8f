"""COCO's layout: instances as polygons or run lengths in one JSON file a split. Read and painted here."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

from seedbed.data.boxes import corners
from seedbed.errors import DataError
from seedbed.io.masks import VOID

_OF_IMAGES = ("id", "file_name", "height", "width")


@dataclass(frozen=True)
class CocoImage:
    """An image: its id and file name, its (height, width), and its annotations as COCO writes them."""

    id: int
    file_name: str
    size: tuple[int, int]
    annotations: tuple[Mapping[str, Any], ...]

    def categories(self) -> tuple[int, ...]:
        """Ids of the categories that occur, ascending; those of crowds too."""
        found = {annotation["category_id"] for annotation in self.annotations}
        return tuple(sorted(found, key=lambda key: (isinstance(key, str), key)))


@dataclass(frozen=True)
class CocoInstances:
    """A split: its categories (id -> class name, ids ascending) and its images, in the file's order."""

    path: Path
    categories: Mapping[int, str]
    images: tuple[CocoImage, ...]


def read_instances(path: Path, problems: list[str] | None = None) -> CocoInstances:
    """Read an ``instances_*.json``; spaces in class names become underscores.

    The whole file is held in memory, about seven times its size on disk while it is parsed.

    Args:
        path: the file.
        problems: takes a message for each entry that is at fault, which is then left out; without it the first is
            raised.

    Raises:
        DataError: the file is missing, not JSON, or without the three lists; or an entry is at fault; it is named.
    """
    content = _read(path)
    raised: list[str] = []
    told = raised if problems is None else problems
    categories = {entry["id"]: entry["name"] for entry in _checked(path, content, "categories", ("id", "name"), told)}
    images = {entry["id"]: entry for entry in _checked(path, content, "images", _OF_IMAGES, told)}
    annotations: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    strangers: set[Any] = set()
    for entry in _checked(path, content, "annotations", ("id", "image_id", "category_id"), told):
        if entry["category_id"] not in categories:
            told.append(f"{path}: annotation {entry['id']} has the unknown category {entry['category_id']}.")
        elif entry["image_id"] not in images:
            strangers.add(entry["image_id"])
        else:
            annotations[entry["image_id"]].append(entry)
    if strangers:
        first = sorted(strangers, key=str)[:10]
        told.append(f"{path}: annotations of images that it does not list: {first}.")
    if raised:
        raise DataError(raised[0])
    listed = tuple(
        CocoImage(key, entry["file_name"], (entry["height"], entry["width"]), tuple(annotations[key]))
        for key, entry in images.items()
    )
    order = sorted(categories, key=lambda key: (isinstance(key, str), key))
    return CocoInstances(path, {key: _class_name(categories[key]) for key in order}, listed)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as stream:
            content = json.load(stream)
    except FileNotFoundError:
        raise DataError(f"{path}: no such annotations.") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied).") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}). Unpack the archive again.") from None
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise DataError(f"{path}: not COCO annotations; it needs the lists {', '.join(keys)}.")
    return content


def paint(image: CocoImage, values: Mapping[int, int], skipped: list[str] | None = None) -> np.ndarray:
    """Paint an image's instances as uint8 [H, W]: 0 background, ``values[category id]``, 255 where a crowd is.

    Large instances are painted first, so that small ones stay visible; crowds lie below all instances.

    Args:
        image: the image and its annotations.
        values: value of each category.
        skipped: takes what is wrong with each segmentation that cannot be painted; its box is void then, below
            everything else. Without it the first is raised.

    Raises:
        DataError: a segmentation does not parse or is of another size; the annotation is named.
    """
    mask = np.zeros(image.size, np.uint8, order="F")
    layers = []
    for annotation in image.annotations:
        try:
            run_lengths = _run_lengths(image, annotation)
            layers.append((is_crowd(annotation), -int(rle_tools.area(run_lengths)), annotation, run_lengths))
        except DataError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
            if is_box(annotation.get("bbox")):
                left, top, right, bottom = corners(*annotation["bbox"], image.size)
                mask[top - 1 : bottom, left - 1 : right] = VOID
    for crowd, _, annotation, run_lengths in sorted(layers, key=lambda layer: (not layer[0], layer[1])):
        value = VOID if crowd else values[annotation["category_id"]]
        mask[_decode(image, annotation, run_lengths)] = value
    return np.ascontiguousarray(mask)


def is_box(box: Any) -> bool:
    """Whether an annotation's ``bbox`` is one: four finite numbers, of which the extents are not negative."""
    if not isinstance(box, list) or len(box) != 4:
        return False
    if not all(isinstance(side, int | float) and math.isfinite(side) for side in box):
        return False
    return box[2] >= 0 and box[3] >= 0


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation is of a crowd; some programs write the number as text."""
    value = annotation.get("iscrowd", 0)
    return value.strip().lower() not in ("", "0", "false") if isinstance(value, str) else bool(value)


def _run_lengths(image: CocoImage, annotation: Mapping[str, Any]) -> dict[str, Any]:
    segmentation, (height, width) = annotation.get("segmentation"), image.size
    try:
        if isinstance(segmentation, list):
            _require_polygons(segmentation, max(image.size))
            return rle_tools.merge(rle_tools.frPyObjects(segmentation, height, width))
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"its run lengths are of the size {segmentation['size']}")
        counts = segmentation["counts"]
        runs = counts if isinstance(counts, list) else _uncompressed(counts)
        if min(runs, default=-1) < 0 or sum(runs) != height * width:
            raise ValueError(f"its run lengths do not add up to {height} x {width}")
        return rle_tools.frPyObjects(segmentation, height, width) if runs is counts else segmentation
    except (TypeError, ValueError, LookupError) as error:
        raise DataError(f"{image.file_name}: the segmentation of annotation {annotation['id']}: {error}.") from None


def _uncompressed(counts: str | bytes) -> list[int]:
    """Run lengths of COCO's compressed form, of which the C library leaves what is missing to chance.

    A number is a run of characters of 5 bits each, the lowest first, bit 5 set in all but the last, the sign in bit 4
    of the last; from the fourth on it is the difference to the run length two before.
    """
    runs: list[int] = []
    value = shift = 0
    for code in counts.encode() if isinstance(counts, str) else bytes(counts):
        digit = code - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (digit & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("its run lengths break off")
    return runs


def _decode(image: CocoImage, annotation: Mapping[str, Any], run_lengths: dict[str, Any]) -> np.ndarray:
    try:
        return rle_tools.decode(run_lengths).view(bool)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{image.file_name}: the segmentation of annotation {annotation['id']}: {error}.") from None


def _require_polygons(polygons: list[Any], side: int) -> None:
    """Check what the C library does not: far-away points would exhaust memory there."""
    if not polygons:
        raise ValueError("it has no polygon")
    for polygon in polygons:
        points = np.asarray(polygon, float)
        if points.ndim != 1 or points.size < 6 or points.size % 2:
            raise ValueError("a polygon needs three points or more, as x and y in turn")
        if not (np.abs(points) <= 2 * side).all():
            raise ValueError("a polygon has points far outside the image")


def _checked(
    path: Path, content: Mapping[str, Any], key: str, needed: Iterable[str], problems: list[str]
) -> Iterable[Mapping[str, Any]]:
    """Entries of a list that have what they need, each with an id of its own."""
    seen: set[Any] = set()
    for number, entry in enumerate(content[key]):
        missing = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        wrong = [] if missing else [name for name in needed if not _FITS.get(name, _is_number)(entry[name])]
        if missing:
            problems.append(f"{path}: entry {number} of '{key}' lacks {', '.join(missing)}.")
        elif wrong:
            values = ", ".join(f"{name} {entry[name]!r}" for name in wrong)
            problems.append(f"{path}: entry {number} of '{key}' cannot have the {values}.")
        elif entry["id"] in seen and key != "annotations":
            problems.append(f"{path}: entry {number} of '{key}' has the id {entry['id']}, which another one has.")
        else:
            seen.add(entry["id"])
            yield entry


def _is_number(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_extent(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_FITS = {
    **dict.fromkeys(("height", "width"), _is_extent),
    **dict.fromkeys(("name", "file_name"), lambda value: isinstance(value, str) and bool(value.strip())),
}


def _class_name(name: str) -> str:
    return "_".join(str(name).split())
