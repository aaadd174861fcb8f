"""Masks whose numbers are not ours: coloured ones with a list of colours, and palettes that a program reordered."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from seedbed.data.own_draft import Colours
from seedbed.errors import DataError
from seedbed.io.masks import UNREADABLE, VOID, voc_palette

_VOID_NAMES = ("ignored", "ignore", "void", "__ignore__")


def read_labelmap(text: str, path: Path) -> tuple[tuple[str, ...], dict[tuple[int, int, int], int]]:
    """Classes and colours of a ``labelmap.txt``: ``name:r,g,b:parts:actions`` a line.

    Class k is the k-th name; ``background`` is 0 and ``ignored`` is 255.

    Raises:
        DataError: a line is not so; or no class is named.
    """
    classes: list[str] = []
    colours: dict[tuple[int, int, int], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.strip().lstrip("\ufeff").partition(":")
        try:
            red, green, blue = (int(value) for value in rest.partition(":")[0].split(","))
        except ValueError:
            raise DataError(f"{path}, line {number}: needs name:r,g,b, and has '{line.strip()}'.") from None
        name = "_".join(name.split())
        if name.lower() not in ("background", *_VOID_NAMES):
            classes.append(name)
        value = 0 if name.lower() == "background" else VOID if name.lower() in _VOID_NAMES else len(classes)
        colours[red, green, blue] = value
    if not classes:
        raise DataError(f"{path}: names no class.")
    if len(set(classes)) < len(classes) or len(colours) < len(classes):
        raise DataError(f"{path}: needs a name and a colour of its own for each class.")
    return tuple(classes), {(0, 0, 0): 0, (224, 224, 192): VOID, **colours}


def read_coloured(path: Path, size: tuple[int, int] | None, colours: Colours) -> np.ndarray:
    """Return a coloured mask (RGB, or a palette's colours) as uint8 [H, W].

    Raises:
        DataError: the file is missing or corrupt, its size is not ``size`` (None: any), or a colour means nothing.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.uint32)
    except FileNotFoundError:
        raise DataError(f"{path}: no such mask file.") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable mask ({error}).") from None
    if size is not None and pixels.shape[:2] != size:
        raise DataError(f"{path}: the mask is {pixels.shape[0]} x {pixels.shape[1]}, its image {size[0]} x {size[1]}.")
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    found, places = np.unique(packed, return_inverse=True)
    values = np.empty(len(found), np.uint8)
    for place, number in enumerate(found.tolist()):
        colour = (number >> 16, number >> 8 & 255, number & 255)
        if colour not in colours:
            raise DataError(f"{path}: the colour {colour} is not in the list of colours.")
        values[place] = colours[colour]
    return values[places].reshape(pixels.shape[:2])


def read_voc_colours(path: Path) -> np.ndarray:
    """Return a mask in VOC's colours (RGB) as uint8 [H, W]; see `read_coloured`."""
    return read_coloured(path, None, _voc_values())


def palette_values(path: Path, num_classes: int) -> np.ndarray | None:
    """Return a palette mask read by its colours, uint8 [H, W]; None where that is no different or not possible.

    It is possible where the mask has a palette and every colour that occurs is one of VOC's for 0..num_classes or void.
    """
    with Image.open(path) as image:
        if image.mode != "P":
            return None
        indices = np.asarray(image)
        palette = np.array(image.getpalette("RGB"), np.uint8)
    palette = palette.reshape(-1, 3)
    used = np.unique(indices)
    if used.max() >= len(palette):
        return None
    values = [_voc_values().get(tuple(palette[index].tolist())) for index in used]
    if any(value is None or num_classes < value < VOID for value in values) or values == used.tolist():
        return None
    table = np.zeros(256, np.uint8)
    table[used] = np.array(values, np.uint8)
    return table[indices]


@functools.cache
def _voc_values() -> dict[tuple[int, int, int], int]:
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    return {tuple(colour.tolist()): value for value, colour in enumerate(palette)}
