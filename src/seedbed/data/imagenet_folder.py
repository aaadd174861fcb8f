"""Photographs of ImageNet, one class each: ``images/`` and ``classes.csv``, all of them the split ``val``.

Every tenth is in the split ``tenth`` besides, and every fiftieth in ``fiftieth``, for measurements that take long.

``classes.csv`` has at least the columns ``image``, the name without extension, and ``index``, the class's place among
ImageNet's 1,000 as networks number them. Nothing is copied: the index points at the files where they are.
"""

import re
from dataclasses import replace
from pathlib import Path

from seedbed.data.images import picture_size
from seedbed.data.index import DataIndex, Record, read_rows, validate_records
from seedbed.data.own_draft import files_by_stem, listed
from seedbed.data.own_source import link_source
from seedbed.errors import DataError

TABLE = "classes.csv"
PARTS = {"tenth": 10, "fiftieth": 50}
"""Split -> every how many-th image is in it."""


def read_imagenet_folder(source: str | Path, root: str | Path) -> DataIndex:
    """Index the folder ``source`` under the data set folder ``root``; all its images are ``val``, by name every
    tenth is also ``tenth`` and every fiftieth ``fiftieth``.

    Classes are ImageNet's 1,000 in the order of networks, ``<WordNet id>_<first word>``, whichever of them the images
    show.

    Raises:
        DataError: listing every problem: no table, images that are missing or damaged, indices that are no class.
    """
    source, root = Path(source).resolve(), Path(root)
    names, images = imagenet_classes(), files_by_stem(source / "images")
    link_source(root, source)
    records, problems = [], []
    for line, row in read_rows(_table(source), ("image", "index")):
        where, files = f"{source / TABLE}, line {line}", images.get(row["image"], [])
        if not row["index"].isdecimal() or int(row["index"]) >= len(names):
            problems.append(f"{where}: index '{row['index']}' is no class; they go from 0 to {len(names) - 1}.")
        elif len(files) != 1:
            problems.append(f"{where}: {len(files)} files in {source / 'images'} are named '{row['image']}'.")
        else:
            try:
                size = picture_size(files[0])
            except DataError as error:
                problems.append(str(error))
                continue
            label = names[int(row["index"])]
            records.append(Record(row["image"], ("val",), (label,), str(files[0]), None, size))
    if problems:
        raise DataError(listed(problems))
    checked = validate_records(records, names, str(source / TABLE))
    return DataIndex(root, names, tuple(replace(one, splits=_splits(number)) for number, one in enumerate(checked)))


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's 1,000 classes in the order of networks, as ``n01440764_tench``."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    words = (info.index_to_description(index, detailed=False) for index in range(info.num_classes()))
    firsts = (re.sub(r"[^0-9A-Za-z-]+", "_", text.split(",")[0].strip()) for text in words)
    return tuple(f"{info.index_to_label_name(index)}_{first}" for index, first in enumerate(firsts))


def _splits(number: int) -> tuple[str, ...]:
    return ("val", *(name for name, step in PARTS.items() if number % step == 0))


def _table(source: Path) -> Path:
    if not (source / TABLE).is_file():
        raise DataError(f"{source / TABLE}: no such file. It needs the columns image,index.")
    return source / TABLE
