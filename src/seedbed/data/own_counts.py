"""How many images each split of your own data has, told from its lists: a run's time is forecast from it."""

import json
from collections import Counter
from collections.abc import Iterable
from math import ceil
from pathlib import Path

from seedbed.data.imagenet_folder import PARTS, TABLE
from seedbed.data.index import read_rows
from seedbed.data.own_labels import SPLITS, read_labels, read_own_text
from seedbed.data.own_layout import Found, find_layout, metadata_rows
from seedbed.data.own_metadata import split_of_row
from seedbed.data.own_yolo import images_of_labels
from seedbed.errors import DataError


def split_counts(source: str | Path) -> dict[str, int]:
    """Images of ``train``, ``trainaug`` and, where there are some, ``val``; nothing is decoded.

    Raises:
        DataError: the folder has no known layout, or its lists cannot be read.
    """
    counts = _counts(find_layout(Path(source)))
    every = {"trainaug": counts.get("train", 0), **counts}
    return {split: count for split, count in sorted(every.items()) if count}


def imagenet_counts(source: str | Path) -> dict[str, int]:
    """Images of the splits of a folder of ImageNet's photographs; see `seedbed.data.imagenet_folder`.

    Raises:
        DataError: its table cannot be read.
    """
    whole = sum(1 for _ in read_rows(Path(source) / TABLE, ("image", "index")))
    return {"val": whole, **{name: ceil(whole / step) for name, step in PARTS.items()}}


def _counts(found: Found) -> dict[str, int]:
    match found.kind:
        case "table":
            return _of_splits(row.split for row in read_labels(found.base / "labels.csv", []))
        case "voc":
            return {split: _filled_lines(path) for split, path in found.splits.items()}
        case "coco":
            return {split: _described(path) for split, path in found.splits.items()}
        case "yolo":
            return {split: len(images_of_labels(labels)) for split, labels in found.splits.items()}
        case _:
            return _of_splits(split for place in found.splits.items() for split in _metadata_splits(found, *place))


def _of_splits(names: Iterable[str]) -> dict[str, int]:
    counted = Counter(names)
    return {split: counted[split] for split in SPLITS if split in counted}


def _filled_lines(path: Path) -> int:
    return sum(1 for line in read_own_text(path).splitlines() if line.strip())


def _described(path: Path) -> int:
    try:
        return len(json.loads(path.read_bytes())["images"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no annotation file of COCO's: {error}") from error


def _metadata_splits(found: Found, split: str, path: Path) -> Iterable[str]:
    return (split_of_row(found.base, path, str(row.get("file_name")), split) for _, row in metadata_rows(path))
