"""ImageNet-Segmentation: 4,276 images with one binary mask each, from one HDF5-format MATLAB file.

``value/img`` and ``value/gt`` hold references, one an image: to the image, and to a cell that holds a reference to
the mask. MATLAB stores arrays with their axes reversed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from PIL import Image

from seedbed.data.index import DataIndex, Record, validate_records
from seedbed.data.published.catalogue import published
from seedbed.data.published.counts import require_counts
from seedbed.data.workers import Workers
from seedbed.errors import DataError
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import VOID, encode_mask
from seedbed.io.progress import progress

SOURCE = "raw/imagenet_segmentation_truth/gtsegs_ijcv.mat"
FOLDER = "pictures"
CLASSES = ("object",)
EXPECTED = MappingProxyType({"val": 4276})
_BATCH = 16


@published("imagenet_segmentation", splits="val", offers="masks single_label")
def prepare_imagenet_segmentation(
    root: str | Path, *, expected: Mapping[str, int] = EXPECTED, workers: int | None = None
) -> DataIndex:
    """Write images and masks of ``root/raw/.../gtsegs_ijcv.mat`` to ``root/pictures`` as PNGs, and index them.

    The one split is ``val``; the one class is ``object``. Images are stored without loss.

    Args:
        root: the data set's folder.
        expected: images of the split.
        workers: processes; None takes all processors.

    Raises:
        DataError: the file is missing or damaged, holds something else, or another number of images.
    """
    root = Path(root)
    count = _count(root / SOURCE)
    with atomic_directory(root / FOLDER) as folder, Workers(workers) as pool:
        for name in ("images", "masks"):
            (folder / name).mkdir()
        batches = [range(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH)]
        results = pool.map(_Write(root / SOURCE, folder), batches, chunk=1)
        sizes = list(progress((size for batch in results for size in batch), count, "images"))
        records = (_record(number, size) for number, size in enumerate(sizes))
        index = DataIndex(root, CLASSES, validate_records(records, CLASSES, str(root / SOURCE)))
        return require_counts(index, expected)


def read_item(file: h5py.File, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (uint8 [H, W, 3]) and mask (uint8 [H, W]: 0, 1; 255 where the file says -1) of one position.

    Raises:
        DataError: naming position and problem.
    """
    where = f"{file.filename}, image {number}"
    try:
        image = file[file["value/img"][number, 0]][()]
        mask = file[file[file["value/gt"][number, 0]][0, 0]][()]
    except (KeyError, IndexError, ValueError, TypeError, OSError, RuntimeError) as error:
        raise DataError(f"{where}: cannot be read ({error}). Fetch the file again.") from None
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != np.uint8:
        raise DataError(f"{where}: must be uint8 [3, W, H] as stored, not {image.dtype} {image.shape}.")
    image, mask = image.transpose(2, 1, 0), mask.transpose(1, 0) if mask.ndim == 2 else mask
    if mask.shape != image.shape[:2]:
        raise DataError(f"{where}: the mask is {mask.shape}, its image {image.shape[:2]}.")
    if not np.isin(mask, (-1, 0, 1)).all():
        raise DataError(f"{where}: the mask has values other than 0, 1 and -1: {np.unique(mask)[:5]}.")
    return np.ascontiguousarray(image), np.where(mask == -1, VOID, mask).astype(np.uint8)


def _count(path: Path) -> int:
    with _open(path) as file:
        shapes = [getattr(file.get(f"value/{name}"), "shape", None) for name in ("img", "gt")]
    if shapes[0] is None or len(shapes[0]) != 2 or shapes[0] != shapes[1]:
        raise DataError(f"{path}: lacks value/img and value/gt of one shape [images, 1]. Fetch the file again.")
    return shapes[0][0]


def _open(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Fetch it first.") from None
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error}). Fetch it again.") from None


@dataclass(frozen=True)
class _Write:
    """Writes a run of images and masks, and returns their sizes."""

    source: Path
    folder: Path

    def __call__(self, numbers: range) -> list[tuple[int, int]]:
        with _open(self.source) as file:
            return list(self._write(file, numbers))

    def _write(self, file: h5py.File, numbers: range) -> Iterator[tuple[int, int]]:
        for number in numbers:
            image, mask = read_item(file, number)
            Image.fromarray(image).save(self.folder / "images" / f"{_name(number)}.png", compress_level=3)
            (self.folder / "masks" / f"{_name(number)}.png").write_bytes(encode_mask(mask))
            yield mask.shape


def _record(number: int, size: tuple[int, int]) -> Record:
    image, mask = (f"{FOLDER}/{kind}/{_name(number)}.png" for kind in ("images", "masks"))
    return Record(_name(number), ("val",), CLASSES, image, mask, size)


def _name(number: int) -> str:
    return f"imagenet_segmentation_{number:04d}"
