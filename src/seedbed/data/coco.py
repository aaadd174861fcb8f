"""COCO's layout: instances as polygons or run lengths in one JSON file a split. Read and painted here."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

from seedbed.errors import DataError
from seedbed.io.masks import VOID


@dataclass(frozen=True)
class CocoImage:
    """A picture: its id and file name, its (height, width), and its annotations as COCO writes them."""

    id: int
    file_name: str
    size: tuple[int, int]
    annotations: tuple[Mapping[str, Any], ...]

    def categories(self) -> tuple[int, ...]:
        """Ids of the categories that occur, ascending; those of crowds too."""
        return tuple(sorted({annotation["category_id"] for annotation in self.annotations}))


@dataclass(frozen=True)
class CocoInstances:
    """A split: its categories (id -> class name, ids ascending) and its pictures, in the file's order."""

    path: Path
    categories: Mapping[int, str]
    images: tuple[CocoImage, ...]


def read_instances(path: Path) -> CocoInstances:
    """Read an ``instances_*.json``; spaces in class names become underscores.

    The whole file is held in memory, about seven times its size on disk while it is parsed.

    Raises:
        DataError: the file is missing, not JSON, or an entry lacks what it needs; the entry is named.
    """
    try:
        with path.open("rb") as stream:
            content = json.load(stream)
    except FileNotFoundError:
        raise DataError(f"{path}: no such annotations.") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}). Unpack the archive again.") from None
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise DataError(f"{path}: not COCO annotations; it needs the lists {', '.join(keys)}.")
    categories = {entry["id"]: entry["name"] for entry in _entries(path, content, "categories", ("id", "name"))}
    annotations: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in _entries(path, content, "annotations", ("id", "image_id", "category_id")):
        if entry["category_id"] not in categories:
            raise DataError(f"{path}: annotation {entry['id']} has the unknown category {entry['category_id']}.")
        annotations[entry["image_id"]].append(entry)
    images = tuple(
        CocoImage(entry["id"], entry["file_name"], (entry["height"], entry["width"]), tuple(annotations[entry["id"]]))
        for entry in _entries(path, content, "images", ("id", "file_name", "height", "width"))
    )
    strangers = set(annotations) - {image.id for image in images}
    if strangers:
        raise DataError(f"{path}: annotations of pictures that it does not list: {sorted(strangers)[:10]}.")
    return CocoInstances(path, {key: _class_name(categories[key]) for key in sorted(categories)}, images)


def paint(image: CocoImage, values: Mapping[int, int]) -> np.ndarray:
    """Paint a picture's instances as uint8 [H, W]: 0 background, ``values[category id]``, 255 where a crowd is.

    Large instances are painted first, so that small ones stay visible; crowds lie below all instances.

    Raises:
        DataError: a segmentation does not parse or is of another size; the annotation is named.
    """
    layers = [(annotation, _run_lengths(image, annotation)) for annotation in image.annotations]
    order = sorted(layers, key=lambda layer: (not _is_crowd(layer[0]), -int(rle_tools.area(layer[1]))))
    mask = np.zeros(image.size, np.uint8, order="F")
    for annotation, run_lengths in order:
        value = VOID if _is_crowd(annotation) else values[annotation["category_id"]]
        mask[_decode(image, annotation, run_lengths)] = value
    return np.ascontiguousarray(mask)


def _is_crowd(annotation: Mapping[str, Any]) -> bool:
    return bool(annotation.get("iscrowd", 0))


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
            raise ValueError("a polygon has points far outside the picture")


def _entries(path: Path, content: Mapping[str, Any], key: str, needed: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    for number, entry in enumerate(content[key]):
        missing = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise DataError(f"{path}: entry {number} of '{key}' lacks {', '.join(missing)}.")
        yield entry


def _class_name(name: str) -> str:
    return "_".join(str(name).split())
