"""Instances: connected regions of a heat map above Otsu's threshold, and true ones from masks, boxes or COCO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle_tools
from scipy import ndimage

from seedbed.data.coco_annotations import CocoImage, is_crowd
from seedbed.data.index import Box
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.soft_segmentation import unit_range
from seedbed.settings.checked import checked

LEVELS = 256  # of the histogram of Otsu's threshold
VOID = 255
_SLACK = 1.1  # published polygons leave their images by a little
_NEIGHBOURS = {4: ndimage.generate_binary_structure(2, 1), 8: ndimage.generate_binary_structure(2, 2)}


def check_connectivity(connectivity: int) -> None:
    """Raise ParameterError unless 4 or 8 neighbours are to connect a region."""
    if connectivity not in _NEIGHBOURS:
        raise ParameterError(f"connectivity must be 4 or 8, not {connectivity}.")


class Instance(NamedTuple):
    """A true instance.

    Attributes:
        label: class index, from 0.
        segmentation: as COCO writes it: polygons, or run lengths with ``size`` and ``counts``.
        area: in pixels; decides whether it is medium or large.
        crowd: a region of many objects: what lies in it is neither right nor wrong.
    """

    label: int
    segmentation: Any
    area: float
    crowd: bool = False


def check_sizes(image: str, truth: Sequence[Instance], size: tuple[int, int]) -> None:
    """Raise DataError where a true instance is of another size than the image's maps, (height, width).

    Run lengths say their size; of polygons only points far outside tell.
    """
    for instance in truth:
        shape = instance.segmentation
        if not shape:
            continue
        if isinstance(shape, Mapping):
            found = tuple(float(side) for side in shape["size"])
            fits = found == tuple(size)
        else:
            points = np.concatenate([np.asarray(polygon, float).reshape(-1, 2) for polygon in shape])
            found = tuple(float(side) for side in points.max(axis=0)[::-1])
            fits = all(most <= _SLACK * side + 1 for most, side in zip(found, size, strict=True))
        if not fits:
            raise DataError(
                f"Image '{image}': a true instance of {found[0]:g} x {found[1]:g} pixels and maps of {size[0]} x "
                f"{size[1]} differ in size."
            )


@checked
def map_instances(
    heat: np.ndarray, connectivity: int = 8, *, whole: bool = False
) -> list[tuple[dict[str, Any], float]] | None:
    """Cut a map into regions: run lengths and mean relevance in 0..1 of each; None if the map is undefined.

    Args:
        heat: [H, W] floating, any range; it is scaled to [0, 1] by its extremes.
        connectivity: 4 or 8.
        whole: all that lies above the threshold is one region, connected or not.
    """
    check_connectivity(connectivity)
    scaled = unit_range(heat)
    if scaled is None:
        return None
    above = scaled > otsu_threshold(scaled)
    if whole:
        return [(_run_lengths(above), float(scaled[above].mean()))]
    regions, count = ndimage.label(above, structure=_NEIGHBOURS[connectivity])
    means = ndimage.mean(scaled, regions, np.arange(1, count + 1))
    return [(_run_lengths(regions == k + 1), float(means[k])) for k in range(count)]


def otsu_threshold(scaled: np.ndarray) -> float:
    """Otsu's threshold (1979) of values in [0, 1]: what lies above it is foreground.

    Of the edges of 256 equal bins it is the lowest that makes the variance between both sides largest.
    """
    counts = np.bincount(np.minimum((scaled * LEVELS).astype(np.int64), LEVELS - 1).ravel(), minlength=LEVELS)
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * np.arange(LEVELS))
    above = scaled.size - below
    # (μ₁ - μ₀)² n₀ n₁ = (n sum₀ - n₀ sum)² / (n₀ n₁), up to a constant
    difference = scaled.size * sums[:-1].astype(float) - below * float(sums[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.where((below > 0) & (above > 0), difference**2 / (below.astype(float) * above), -1.0)
    edge = (int(np.argmax(between)) + 1) / LEVELS
    return float(np.nextafter(np.float32(edge), np.float32(0)))  # a value on the edge belongs to the bin above


@checked
def mask_instances(
    mask: np.ndarray, boxes: Sequence[tuple[int, Box]] | None = None, connectivity: int = 8
) -> list[Instance]:
    """True instances of an image that has a class mask: VOC's and the built-in data's.

    Without boxes they are the connected regions of each class: touching objects of a class are one, an object in two
    pieces is two. With boxes, each pixel of a class goes to the smallest box of that class that holds it; pixels
    outside all boxes, and boxes without a pixel, belong to nobody.

    Args:
        mask: integer [H, W]: 0 background, class index + 1, 255 void (of no instance).
        boxes: (class index, box) of each object.
        connectivity: 4 or 8, without boxes.
    """
    check_connectivity(connectivity)
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise DataError(f"A mask must hold integers [H, W], got {mask.dtype} {mask.shape}.")
    for _, box in boxes or ():
        if box.xmax > mask.shape[1] or box.ymax > mask.shape[0]:
            raise DataError(f"The box {box} lies outside the mask of {mask.shape[0]} x {mask.shape[1]} pixels.")
    labels = [int(value) - 1 for value in np.unique(mask) if value not in (0, VOID)]
    if boxes is not None:
        return [instance for label in labels for instance in _boxed(mask == label + 1, label, boxes)]
    found = []
    for label in labels:
        regions, count = ndimage.label(mask == label + 1, structure=_NEIGHBOURS[connectivity])
        found += [_instance(regions == k + 1, label) for k in range(count)]
    return found


def coco_instances(image: CocoImage, labels: Mapping[int, int]) -> list[Instance]:
    """True instances of a COCO image as its annotations have them; ``labels`` gives class indices of category ids."""
    return [
        Instance(labels[entry["category_id"]], entry["segmentation"], float(entry["area"]), is_crowd(entry))
        for entry in image.annotations
    ]


def _boxed(pixels: np.ndarray, label: int, boxes: Sequence[tuple[int, Box]]) -> list[Instance]:
    own = [box for other, box in boxes if other == label]
    free, found = pixels.copy(), []
    for box in sorted(own, key=lambda box: (box.xmax - box.xmin + 1) * (box.ymax - box.ymin + 1)):
        inside = np.zeros_like(free)
        window = slice(box.ymin - 1, box.ymax), slice(box.xmin - 1, box.xmax)
        inside[window] = free[window]
        free &= ~inside
        if inside.any():
            found.append(_instance(inside, label))
    return found


def _instance(pixels: np.ndarray, label: int) -> Instance:
    return Instance(label, _run_lengths(pixels), float(pixels.sum()))


def _run_lengths(pixels: np.ndarray) -> dict[str, Any]:
    encoded = rle_tools.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}
