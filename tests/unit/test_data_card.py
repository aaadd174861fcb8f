"""The data card: counts, and a checksum that knows every byte of the data."""

import shutil

from seedbed.data.card import data_checksum, read_checksum, write_card
from seedbed.data.index import DataIndex, read_index, write_index
from seedbed.io.atomic import read_json


def copied(shapes, target):
    shutil.copytree(shapes.root, target)
    return read_index(target)


def test_card(shapes):
    card = read_json(shapes.root / "card.json")
    assert card["name"] == "shapes"
    assert card["classes"] == list(shapes.classes)
    assert card["origin"] == {"seed": 0}
    assert card["licence"].startswith("CC0")
    assert {split: entry["images"] for split, entry in card["splits"].items()} == {"train": 4, "trainaug": 8, "val": 4}
    for split, entry in card["splits"].items():
        for name, count in entry["labels"].items():
            assert count == sum(name in record.labels for record in shapes.split(split))
    assert card["sha256"] == read_checksum(shapes.root) == data_checksum(shapes)


def test_the_checksum_does_not_know_where_the_data_lies(shapes, tmp_path):
    assert data_checksum(copied(shapes, tmp_path / "elsewhere")) == data_checksum(shapes)


def test_the_checksum_knows_every_picture_mask_and_label(shapes, tmp_path):
    seen = {data_checksum(shapes)}
    record = shapes.records[5]
    for number, name in enumerate((record.path, record.mask, "index.csv", "classes.txt")):
        index = copied(shapes, tmp_path / str(number))
        content = bytearray((index.root / name).read_bytes())
        content[-2] ^= 1
        (index.root / name).write_bytes(content)
        seen.add(data_checksum(index))
    assert len(seen) == 5


def test_data_without_masks(shapes, tmp_path):
    index = copied(shapes, tmp_path / "data")
    bare = [type(record)(**{**record.__dict__, "mask": None}) for record in index.records]
    bare = DataIndex(index.root, index.classes, tuple(bare))
    write_index(bare)
    write_card(bare, "bare", "unknown", {})
    assert read_checksum(bare.root) == data_checksum(bare) != data_checksum(shapes)
