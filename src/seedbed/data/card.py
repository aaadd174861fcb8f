"""The data card: what a data set holds, the checksum that artifacts made from it carry, and both as Croissant."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedbed.data.croissant import NAME, croissant
from seedbed.data.index import DataIndex, linked_folder, stored_name
from seedbed.io.atomic import read_json, write_json
from seedbed.io.provenance import file_sha256


def write_card(index: DataIndex, name: str, licence: str, origin: Mapping[str, Any]) -> None:
    """Write ``card.json``: counts per split and class, licence, origin, and the checksum of every file of the index.

    Beside it ``croissant.json`` says what the data set is in the words of Croissant 1.1.

    Args:
        index: the prepared data set; its ``index.csv`` must be on disk.
        name: the data set's name.
        licence: under which the data may be used.
        origin: the parameters or source files it was made from.
    """
    splits = {}
    for split in index.splits():
        counts = Counter(label for record in index.split(split) for label in record.labels)
        splits[split] = {"images": len(index.split(split)), "labels": {name: counts[name] for name in index.classes}}
    card = {
        "name": name,
        "classes": list(index.classes),
        "splits": splits,
        "licence": licence,
        "origin": dict(origin),
        "sha256": data_checksum(index),
    }
    write_json(index.root / NAME, croissant(index, card))
    write_json(index.root / "card.json", card)  # last: it is the rule's output, and says that the rest is there


def data_checksum(index: DataIndex) -> str:
    """One sha256 over ``index.csv``, ``classes.txt`` and every image and mask that the index names.

    The same data in another place has the same one: files outside the folder count by their name below its link.
    """
    digest, linked = hashlib.sha256(), linked_folder(index.root)
    files = {path for record in index.records for path in (record.path, record.mask) if path}
    names = sorted((stored_name(path, linked), path) for path in files)
    for name, path in [("classes.txt", "classes.txt"), ("index.csv", "index.csv"), *names]:
        digest.update(f"{name}\0{file_sha256(index.root / path)}\n".encode())
    return digest.hexdigest()


def read_checksum(root: str | Path) -> str:
    """The checksum in a data set's card."""
    return read_json(Path(root) / "card.json")["sha256"]
