"""Reading pictures as every stage sees them: upright 8-bit RGB."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from seedbed.errors import DataError
from seedbed.io.masks import UNREADABLE, decode_mask

_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")


def read_picture(path: str | Path) -> np.ndarray:
    """Return a picture as uint8 [H, W, 3] RGB.

    Greyscale, palette, CMYK and 16-bit pictures are converted, transparency is laid on white, EXIF rotation is applied.

    Raises:
        DataError: the file is missing, empty, truncated or not a picture.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty. Fetch it again or take the image out of the list.")
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture)
            return np.asarray(_to_rgb(picture))
    except FileNotFoundError:
        raise DataError(f"{path}: no such picture; the list of images names it.") from None
    except UNREADABLE as error:
        raise DataError(
            f"{path}: corrupt or not a picture ({error}). Fetch it again or take the image out of the list."
        ) from None


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the upright picture from its header, without decoding it.

    Raises:
        DataError: the file is missing or not a picture.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            rotated = picture.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5..8 swap the axes
        return (width, height) if rotated else (height, width)
    except FileNotFoundError:
        raise DataError(f"{path}: no such picture; the list of images names it.") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: corrupt or not a picture ({error}).") from None


def read_mask(path: str | Path, size: tuple[int, int], num_classes: int) -> np.ndarray:
    """Return a ground-truth mask as uint8 [H, W]: 0 background, 1..num_classes, 255 void.

    Raises:
        DataError: the file is missing or corrupt, its size is not ``size``, or it holds another value.
    """
    mask = decode_mask(path)
    if mask.shape != size:
        raise DataError(f"{path}: the mask is {mask.shape[0]} x {mask.shape[1]}, its picture {size[0]} x {size[1]}.")
    counts = np.bincount(mask.ravel(), minlength=256)
    wrong = np.flatnonzero(counts[num_classes + 1 : 255])
    if wrong.size:
        value = int(wrong[0]) + num_classes + 1
        raise DataError(f"{path}: value {value} is neither a class (0..{num_classes}) nor void (255).")
    return mask


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _SIXTEEN_BIT:
        wide = np.asarray(picture).astype(np.float64)
        return Image.fromarray(np.clip(wide / 257.0 + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")
