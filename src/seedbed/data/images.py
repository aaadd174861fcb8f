"""Reading images as every stage sees them: upright 8-bit RGB."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from seedbed.errors import DataError
from seedbed.io.masks import UNREADABLE, decode_mask

_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_BYTE, _WORD, _WIDEST = 255, 65_535, 2.0**32 - 1
_UNSIGNED, _SIGNED = 1, 2  # TIFF's numbers for the format of a sample
_SAMPLE_FORMAT = 339


def read_picture(path: str | Path) -> np.ndarray:
    """Return an image as uint8 [H, W, 3] RGB.

    Greyscale, palette, CMYK and other depths are converted, transparency is laid on white, EXIF rotation is applied.
    16 bits go from 0 to 65535; values of 32 bits, integers or floats, from 0 to the first of 1 (floats alone), 255,
    65535 and 2^32 - 1 (2^31 - 1 where the file says that they are signed) that holds them all.

    Raises:
        DataError: the file is missing, empty, truncated or not an image, may not be read, has too many pixels, or
            values whose range cannot be told.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty. Fetch it again or take the image out of the list.")
        with Image.open(path) as image:
            signed = _is_signed(image)
            image = ImageOps.exif_transpose(image)
            return np.asarray(_to_rgb(image, path, signed))
    except FileNotFoundError:
        raise DataError(f"{path}: no such image; the list of images names it.") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied). Ask its owner, or: chmod a+r.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: {_too_large()}") from None
    except UNREADABLE as error:
        raise DataError(
            f"{path}: corrupt or not an image ({error}). Fetch it again or take the image out of the list."
        ) from None


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the upright image from its header, without decoding it.

    Raises:
        DataError: the file is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            rotated = image.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5..8 swap the axes
        return (width, height) if rotated else (height, width)
    except FileNotFoundError:
        raise DataError(f"{path}: no such image; the list of images names it.") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied). Ask its owner, or: chmod a+r.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: {_too_large()}") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: corrupt or not an image ({error}).") from None


def read_mask(path: str | Path, size: tuple[int, int], num_classes: int) -> np.ndarray:
    """Return a ground-truth mask as uint8 [H, W]: 0 background, 1..num_classes, 255 void.

    Palette or greyscale of 1 to 32 bits; the numbers are those in the file.

    Raises:
        DataError: the file is missing or corrupt, its size is not ``size``, or it holds another value.
    """
    mask = decode_mask(path, any_depth=True)
    if mask.shape != size:
        raise DataError(f"{path}: the mask is {mask.shape[0]} x {mask.shape[1]}, its image {size[0]} x {size[1]}.")
    counts = np.bincount(mask.ravel(), minlength=256)
    wrong = np.flatnonzero(counts[num_classes + 1 : 255])
    if wrong.size:
        value = int(wrong[0]) + num_classes + 1
        raise DataError(f"{path}: value {value} is neither a class (0..{num_classes}) nor void (255).")
    return mask


def _too_large() -> str:
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    return (
        f"has more than {limit / 1e6:.0f} megapixels, which are not decoded. Make it smaller, such as by: "
        "mogrify -resize 25% <file>"
    )


def _to_rgb(image: Image.Image, path: Path, signed: bool) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        return _scaled(np.asarray(image).astype(np.float64), _WORD)
    if image.mode in ("I", "F"):
        return _scaled(*_wide_values(image, path, signed))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _scaled(values: np.ndarray, highest: float) -> Image.Image:
    """Values [H, W] in 0..highest as 8-bit grey in RGB, rounded."""
    bytes_ = values * (_BYTE / highest) if highest < _BYTE else values / (highest / _BYTE)
    return Image.fromarray(np.clip(bytes_ + 0.5, 0, _BYTE).astype(np.uint8)).convert("RGB")


def _wide_values(image: Image.Image, path: Path, signed: bool) -> tuple[np.ndarray, float]:
    """Values of 32 bits and the highest that their range allows.

    Raises:
        DataError: they are negative or not finite, or lie in no usual range.
    """
    values = np.asarray(image)
    if image.mode == "I" and not signed:
        values = values.view(np.uint32)
    values = values.astype(np.float64)
    lowest, highest = (float(values.min()), float(values.max())) if np.isfinite(values).all() else (np.nan, np.nan)
    widest = _WIDEST if image.mode == "I" and not signed else 2.0**31 - 1
    if lowest >= 0:
        for limit in (1.0, _BYTE, _WORD) if image.mode == "F" else (_BYTE, _WORD):
            if highest <= limit:
                return values, limit
        if image.mode == "I" and highest > widest / _BYTE:
            return values, widest
    found = f"{lowest:g}..{highest:g}" if np.isfinite(lowest) else "values that are not finite"
    raise DataError(
        f"{path}: {'floats' if image.mode == 'F' else 'integers'} of 32 bits in {found}; read are 0..1 (floats), "
        "0..255 and 0..65535. Save it with 8 or 16 bits."
    )


def _is_signed(image: Image.Image) -> bool:
    """Whether integers of 32 bits are signed: as a TIFF says; those of other formats are."""
    tags = getattr(image, "tag_v2", None)
    formats = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)) if tags is not None else (_SIGNED,)
    return (formats if isinstance(formats, int) else formats[0]) != _UNSIGNED
