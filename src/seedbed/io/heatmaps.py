"""The heat-map store: one HDF5 file a shard, one group an image, float16 maps with their class indices.

Layout of a group (named by the image id, ``/`` written as ``%2F``): ``maps`` float16 [K, h, w]; ``classes`` int16 [K],
0-based and without background; attribute ``size`` = (height, width) of the image. The root carries ``provenance``.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from seedbed.errors import DataError
from seedbed.io.atomic import atomic_path
from seedbed.io.hdf5 import HonestFile
from seedbed.io.partial_items import UnfinishedItems

BACKGROUND = -1
"""Class index of the background's map, in a store that has one."""


class HeatMaps(NamedTuple):
    """Heat maps of one image.

    Attributes:
        classes: int [K], 0-based class indices.
        maps: float32 [K, h, w]; the resolution may be the patch grid's or the image's.
        size: (height, width) of the image.
    """

    classes: np.ndarray
    maps: np.ndarray
    size: tuple[int, int]


def write_heatmaps(
    path: str | Path, items: Iterable[tuple[str, HeatMaps]], provenance: Mapping[str, Any], *, exact: bool = False
) -> int:
    """Write a shard, whole or not at all, and return how many maps hold a NaN (kept as NaN).

    ``exact`` keeps float32, for raw maps whose values have no range.

    Raises:
        DataError: a map has another shape than its classes say or a value beyond float16, or an image comes twice.
    """
    undefined = 0
    with atomic_path(path) as temporary, HonestFile(temporary) as stream:
        with h5py.File(stream, "w", track_order=False) as file:
            file.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
            for image, heat in items:
                _check(path, image, heat, file)
                group = file.create_group(_key(image))
                group.create_dataset(
                    "maps", data=heat.maps if exact else _half(path, image, heat.maps), **_compression(heat.maps)
                )
                group.create_dataset("classes", data=np.asarray(heat.classes, np.int16))
                group.attrs["size"] = np.asarray(heat.size, np.int32)
                undefined += int(np.isnan(heat.maps).any(axis=(1, 2)).sum()) if len(heat.maps) else 0
                stream.raise_failure()
            file.attrs["undefined_maps"] = undefined
        stream.raise_failure()
    return undefined


class UnfinishedHeatMaps(UnfinishedItems):
    """Items (image id, heat maps, ...) of a shard that is not whole yet; maps as it will hold them, in float16."""

    @staticmethod
    def pack(item: tuple[Any, ...]) -> list[Any]:
        image, *stacks = item
        with np.errstate(over="ignore"):  # the writer, which has had the item before, names a value beyond float16
            return [image, *([heat.classes, np.asarray(heat.maps, np.float16), heat.size] for heat in stacks)]

    @staticmethod
    def unpack(values: list[Any]) -> tuple[Any, ...]:
        image, *stacks = values
        return (image, *(HeatMaps(classes, maps.astype(np.float32), tuple(size)) for classes, maps, size in stacks))


class HeatMapStore(Mapping[str, HeatMaps]):
    """Read-only view over all shards of one set of heat maps, by image id; may be used in loader processes.

    Raises:
        DataError: a shard cannot be read, or an image is in two shards.
    """

    def __init__(self, shards: Sequence[str | Path]) -> None:
        self._files: dict[tuple[int, str], h5py.File] = {}
        self._shards = tuple(map(str, shards))
        self._where: dict[str, str] = {}
        for shard in self._shards:
            with _reading(shard):
                images = [_image(key) for key in self._open(shard)]
            for image in images:
                if image in self._where:
                    raise DataError(f"{shard}: image '{image}' is also in {self._where[image]}; delete both and rerun.")
                self._where[image] = shard

    def __getitem__(self, image: str) -> HeatMaps:
        if image not in self._where:
            raise DataError(f"No heat maps for image '{image}' in {len(self._shards)} shard(s).")
        with _reading(self._where[image]):
            group = self._open(self._where[image])[_key(image)]
            height, width = (int(value) for value in group.attrs["size"])
            return HeatMaps(group["classes"][:].astype(np.int64), group["maps"][:].astype(np.float32), (height, width))

    def __contains__(self, image: object) -> bool:
        return image in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    @property
    def undefined_maps(self) -> int:
        """How many maps of all shards hold a NaN."""
        return sum(int(self._attribute(shard, "undefined_maps")) for shard in self._shards)

    def provenance(self) -> dict[str, Any]:
        """The record of the first shard; the shards of a set share their parameters."""
        return json.loads(self._attribute(self._shards[0], "provenance")) if self._shards else {}

    def content_sha256(self) -> str:
        """One checksum over all maps as they are stored, whatever the shards and what their provenance says."""
        digest = hashlib.sha256()
        for image in sorted(self._where):
            with _reading(self._where[image]):
                group = self._open(self._where[image])[_key(image)]
                digest.update(f"{image}\0{group.attrs['size'].tolist()}\0".encode())
                for name in ("classes", "maps"):
                    digest.update(f"{group[name].shape}{group[name].dtype}\0".encode())
                    for part in _stored(group[name]):
                        digest.update(part)
        return digest.hexdigest()

    def _attribute(self, shard: str, name: str) -> Any:
        with _reading(shard):
            return self._open(shard).attrs[name]

    def _open(self, shard: str) -> h5py.File:
        key = (os.getpid(), shard)  # a forked loader process opens its own
        if key not in self._files:
            self._files[key] = h5py.File(shard, "r")
        return self._files[key]


@contextlib.contextmanager
def _reading(shard: str) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{shard}: not a readable heat-map file ({error}). Delete it and rerun.") from None


def _stored(dataset: h5py.Dataset) -> Iterator[bytes]:
    """The bytes of a dataset as they lie in the file, compressed or not."""
    if dataset.chunks is None:
        yield dataset[:].tobytes()
        return
    for number in range(dataset.id.get_num_chunks()):
        yield dataset.id.read_direct_chunk(dataset.id.get_chunk_info(number).chunk_offset)[1]


def _half(path: str | Path, image: str, maps: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = np.asarray(maps, np.float16)
    if (np.isinf(half) & np.isfinite(maps)).any():
        largest = float(np.abs(maps)[np.isfinite(maps)].max())
        raise DataError(f"{path}: a map of image '{image}' reaches {largest:.6g}, beyond float16; scale the maps.")
    return half


def _check(path: str | Path, image: str, heat: HeatMaps, file: h5py.File) -> None:
    if np.ndim(heat.maps) != 3 or len(heat.maps) != len(heat.classes):
        shape = np.shape(heat.maps)
        raise DataError(f"{path}: image '{image}' has {len(heat.classes)} classes but maps of shape {shape}.")
    if _key(image) in file:
        raise DataError(f"{path}: image '{image}' comes twice.")


def _compression(maps: np.ndarray) -> dict[str, Any]:
    # Small maps would only grow by the chunk bookkeeping.
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True} if maps[:1].size > 4096 else {}


def _key(image: str) -> str:
    return image.replace("%", "%25").replace("/", "%2F")


def _image(key: str) -> str:
    return key.replace("%2F", "/").replace("%25", "%")
