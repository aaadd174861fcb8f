"""Reader for MXNet's ``.params`` archives (NDArray lists): how ResNet38's ImageNet weights were published.

All little-endian. File: u64 0x112, u64 reserved, u64 number of arrays, the arrays, u64 number of names, the names
(u64 length and bytes). Array, by its first four bytes:

- magic 0xF993FAC9 (version 2) or 0xF993FACA (version 3): i32 storage type (0 = dense), then as version 1;
- magic 0xF993FAC8 (version 1): u32 number of dimensions, i64 dimensions;
- anything else (legacy): that u32 is the number of dimensions, then u32 dimensions;

then, unless there are no dimensions, i32 device type, i32 device id, i32 data type and the raw data.
"""

import math
import struct
from pathlib import Path
from typing import NoReturn

import numpy as np

from seedbed.errors import DataError

LIST_MAGIC = 0x112
V1_MAGIC, V2_MAGIC, V3_MAGIC = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
MAX_DIMENSIONS = 32  # of NumPy before version 2, and more than any weight has
DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "|u1", 4: "<i4", 5: "|i1", 6: "<i8"}


def read_params(path: Path | str) -> dict[str, np.ndarray]:
    """Read every array of a ``.params`` archive.

    Returns:
        Name (such as ``arg:conv1a_weight``) to array, in the file's order; NumPy's dtype of the stored one.

    Raises:
        DataError: the file is missing, cut short, not such an archive, or holds something other than dense arrays.
    """
    path = Path(path)
    try:
        buffer = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read weights file {path}: {error.strerror}.") from error
    reader = _Reader(buffer, path)
    if reader.unpack("Q", "file header") != LIST_MAGIC:
        reader.fail("it does not begin with MXNet's array-list magic number 0x112")
    reader.unpack("Q", "file header")
    arrays = [reader.array(i) for i in range(reader.count("arrays"))]
    names = [reader.name(i) for i in range(reader.count("names"))]
    if len(names) != len(arrays):
        reader.fail(f"it holds {len(arrays)} arrays but {len(names)} names")
    if len(set(names)) != len(names):
        reader.fail("a name occurs twice")
    if reader.position != len(buffer):
        reader.fail(f"{len(buffer) - reader.position} bytes follow the last name")
    return dict(zip(names, arrays, strict=True))


class _Reader:
    """A position in a buffer; everything is checked against what is left before it is read."""

    def __init__(self, buffer: bytes, path: Path) -> None:
        self.buffer, self.path, self.position = buffer, path, 0

    def fail(self, why: str) -> NoReturn:
        raise DataError(f"{self.path} is not a whole MXNet .params file: {why}. Download it again.")

    def take(self, size: int, what: str) -> memoryview:
        if size > len(self.buffer) - self.position:
            self.fail(f"it ends inside {what} (needs {size} bytes at {self.position}, has {len(self.buffer)} in all)")
        self.position += size
        return memoryview(self.buffer)[self.position - size : self.position]

    def unpack(self, code: str, what: str) -> int:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))[0]

    def count(self, what: str) -> int:
        count = self.unpack("Q", f"the number of {what}")
        if count > len(self.buffer):  # each takes more than a byte
            self.fail(f"it claims {count} {what}")
        return count

    def name(self, index: int) -> str:
        raw = self.take(self.unpack("Q", f"name {index}"), f"name {index}")
        try:
            return bytes(raw).decode()
        except UnicodeDecodeError:
            self.fail(f"name {index} is not text")

    def array(self, index: int) -> np.ndarray:
        what = f"array {index}"
        shape = self.shape(what)
        if not shape:
            return np.empty(0, np.float32)  # MXNet's "no array": nothing else is stored
        self.take(8, what)  # device type and id
        flag = self.unpack("i", what)
        if flag not in DTYPES:
            self.fail(f"{what} has the unknown data type {flag}")
        dtype = np.dtype(DTYPES[flag])
        data = self.take(math.prod(shape) * dtype.itemsize, what)
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def shape(self, what: str) -> tuple[int, ...]:
        magic = self.unpack("I", what)
        if magic in (V2_MAGIC, V3_MAGIC) and (storage := self.unpack("i", what)) != DENSE:
            self.fail(f"{what} is not dense (storage type {storage})")
        legacy = magic not in (V1_MAGIC, V2_MAGIC, V3_MAGIC)
        dimensions = magic if legacy else self.unpack("I", what)
        if dimensions > MAX_DIMENSIONS:
            self.fail(f"{what} claims {dimensions} dimensions")
        shape = tuple(self.unpack("I" if legacy else "q", what) for _ in range(dimensions))
        if any(size < 0 for size in shape):
            self.fail(f"{what} has the shape {shape}")
        return shape
