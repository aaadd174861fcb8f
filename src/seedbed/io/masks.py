"""Label masks: PASCAL VOC palette PNGs, packed into one stored zip a shard."""

import functools
import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seedbed.errors import DataError
from seedbed.io.atomic import atomic_path
from seedbed.io.partial_items import UnfinishedItems

VOID = 255
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's earliest date: the same masks give the same bytes
_PROVENANCE = "provenance.json"
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for damaged files."""
COLOURED = ("RGB", "RGBA")
_OTHER_DEPTHS = ("1", "I", "I;16", "I;16B", "I;16L")
_BROKEN_ZIP = (*UNREADABLE, zipfile.BadZipFile, RuntimeError)


@functools.cache
def voc_palette() -> bytes:
    """The 768 bytes of PASCAL VOC's palette: bit k of red, green, blue is taken from every third bit of the index."""
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours.tobytes()


def encode_mask(mask: np.ndarray) -> bytes:
    """Return ``mask`` (uint8 [H, W]; 0 background, 255 void) as a palette PNG."""
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise DataError(f"A mask must be uint8 [H, W], not {mask.dtype} {mask.shape}.")
    image = Image.fromarray(mask, mode="P")
    image.putpalette(voc_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def decode_mask(source: bytes | str | Path, name: str | None = None, *, any_depth: bool = False) -> np.ndarray:
    """Return the indices of a palette or greyscale PNG as uint8 [H, W].

    Greyscale of 2 and 4 bits gives the numbers in the file, 0..3 and 0..15, which Pillow spreads over 0..255.

    Args:
        source: the PNG's bytes, or its file.
        name: what messages call it; the file's name by default.
        any_depth: also read greyscale of 1 bit (0 and 1), and of 16 and 32 bits where no value exceeds 255.

    Raises:
        DataError: not a readable image, or one whose pixels are colours, not indices.
    """
    name = name or ("mask" if isinstance(source, bytes) else str(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if any_depth and image.mode in _OTHER_DEPTHS:
                return _narrowed(np.asarray(image), name)
            if image.mode not in ("P", "L"):
                hint = " Colours need a labelmap.txt that says what they mean." if image.mode in COLOURED else ""
                raise DataError(
                    f"{name}: a mask must be a palette or 8-bit greyscale PNG, not mode {image.mode}.{hint}"
                )
            step = _spread(image)
            return np.array(image, np.uint8) // step if step > 1 else np.array(image, np.uint8)
    except FileNotFoundError:
        raise DataError(f"{name}: no such mask file.") from None
    except PermissionError:
        raise DataError(f"{name}: may not be read (permission denied).") from None
    except UNREADABLE as error:
        raise DataError(f"{name}: not a readable mask ({error}).") from None


def is_coloured(path: str | Path) -> bool:
    """Whether an image's pixels are colours, not numbers; False for what cannot be opened."""
    try:
        with Image.open(path) as image:
            return image.mode in COLOURED
    except UNREADABLE:
        return False


def _narrowed(values: np.ndarray, name: str) -> np.ndarray:
    if values.size and not 0 <= values.min() <= values.max() <= VOID:
        wrong = values.min() if values.min() < 0 else values.max()
        raise DataError(f"{name}: value {wrong} is outside 0..{VOID}.")
    return values.astype(np.uint8)


def _spread(image: Image.Image) -> int:
    """The step by which Pillow spreads greyscale of 2 or 4 bits over 0..255; 1 for other images."""
    tiles: Sequence[Any] = getattr(image, "tile", ())  # of files only
    arguments = tiles[0].args if tiles else ""
    raw = arguments if isinstance(arguments, str) else str((*(arguments or ()), "")[0])
    return 85 if raw.startswith("L;2") else 17 if raw.startswith("L;4") else 1


def write_masks(path: str | Path, items: Iterable[tuple[str, np.ndarray]], provenance: Mapping[str, Any]) -> None:
    """Write masks (image id, uint8 [H, W]) as PNGs in one uncompressed zip, whole or not at all.

    Raises:
        DataError: a mask is not uint8 [H, W], or an image comes twice.
    """
    seen: set[str] = set()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_PROVENANCE, _EPOCH), json.dumps(provenance, sort_keys=True))
        for image, mask in items:
            if image in seen:
                raise DataError(f"{path}: image '{image}' comes twice.")
            seen.add(image)
            archive.writestr(zipfile.ZipInfo(f"{image}.png", _EPOCH), encode_mask(mask))


class UnfinishedMasks(UnfinishedItems):
    """Items (image id, mask) of a shard that is not whole yet."""

    @staticmethod
    def pack(item: tuple[Any, ...]) -> list[Any]:
        return list(item)

    @staticmethod
    def unpack(values: list[Any]) -> tuple[Any, ...]:
        return tuple(values)


class MaskStore(Mapping[str, np.ndarray]):
    """Read-only view over the mask zips of all shards, by image id; may be used in loader processes.

    Raises:
        DataError: a zip cannot be read, or an image is in two shards.
    """

    def __init__(self, shards: Sequence[str | Path]) -> None:
        self._archives: dict[tuple[int, str], zipfile.ZipFile] = {}
        self._shards = tuple(map(str, shards))
        self._where: dict[str, str] = {}
        for shard in self._shards:
            for name in self._open(shard).namelist():
                image = name.removesuffix(".png")
                if name == _PROVENANCE:
                    continue
                if image in self._where:
                    raise DataError(f"{shard}: image '{image}' is also in {self._where[image]}; delete both and rerun.")
                self._where[image] = shard

    def __getitem__(self, image: str) -> np.ndarray:
        if image not in self._where:
            raise DataError(f"No mask for image '{image}' in {len(self._shards)} shard(s).")
        shard = self._where[image]
        return decode_mask(self._read(shard, f"{image}.png"), f"{shard}, image '{image}'")

    def __contains__(self, image: object) -> bool:
        return image in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archives": {}}

    def provenance(self) -> dict[str, Any]:
        """The record of the first shard; the shards of a set share their parameters."""
        return json.loads(self._read(self._shards[0], _PROVENANCE)) if self._shards else {}

    def content_sha256(self) -> str:
        """One checksum over all masks as they are stored, whatever the shards and what their provenance says."""
        digest = hashlib.sha256()
        for image in sorted(self._where):
            encoded = self._read(self._where[image], f"{image}.png")
            digest.update(f"{image}\0{len(encoded)}\0".encode() + encoded)
        return digest.hexdigest()

    def _read(self, shard: str, name: str) -> bytes:
        try:
            return self._open(shard).read(name)
        except (*_BROKEN_ZIP, KeyError) as error:
            raise DataError(f"{shard}: {name} cannot be read ({error}). Delete the archive and rerun.") from None

    def _open(self, shard: str) -> zipfile.ZipFile:
        key = (os.getpid(), shard)  # a forked loader process opens its own: two that share one file share its position
        if key not in self._archives:
            try:
                self._archives[key] = zipfile.ZipFile(shard)
            except _BROKEN_ZIP as error:
                raise DataError(f"{shard}: not a readable mask archive ({error}). Delete it and rerun.") from None
        return self._archives[key]
