"""The data set's description for machines."""

import csv
import json

import pytest

from seedbed.data.croissant import croissant
from seedbed.data.index import DataIndex, Record, write_index
from seedbed.io.atomic import read_json
from seedbed.io.provenance import file_sha256


def test_it_lies_beside_the_card_and_names_the_files_with_their_checksums(shapes):
    said = read_json(shapes.root / "croissant.json")
    assert said["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert said["name"] == "shapes" and said["license"].startswith("CC0-1.0")
    files = {entry["name"]: entry for entry in said["distribution"] if entry["@type"] == "cr:FileObject"}
    assert files["index.csv"]["sha256"] == file_sha256(shapes.root / "index.csv")
    assert files["classes.txt"]["sha256"] == file_sha256(shapes.root / "classes.txt")


def test_its_fields_are_the_columns_of_the_index(shapes):
    said = read_json(shapes.root / "croissant.json")
    (records,) = said["recordSet"]
    with (shapes.root / "index.csv").open(newline="") as stream:
        columns = next(csv.reader(stream))
    assert [field["source"]["extract"]["column"] for field in records["field"]] == columns


def test_its_folders_hold_every_image_and_mask(shapes):
    said = read_json(shapes.root / "croissant.json")
    found = set()
    for entry in said["distribution"]:
        if entry["@type"] == "cr:FileSet":
            found |= {path.relative_to(shapes.root).as_posix() for path in shapes.root.glob(entry["includes"])}
    assert found == {path for record in shapes.records for path in (record.path, record.mask) if path}


def test_two_formats_are_two_sets_and_files_elsewhere_are_none(tmp_path):
    records = (
        Record("a", ("train",), ("cat",), "images/a.jpg", None, (4, 4)),
        Record("b", ("train",), (), "images/b.png", None, (4, 4)),
        Record("c", ("train",), (), "/elsewhere/c.png", None, (4, 4)),
    )
    index = DataIndex(tmp_path, ("cat",), records)
    write_index(index)
    card = {"name": "own", "licence": "your own", "sha256": "0" * 64, "splits": {"train": {"images": 3}}}
    sets = [entry for entry in croissant(index, card)["distribution"] if entry["@type"] == "cr:FileSet"]
    assert [(entry["@id"], entry["includes"]) for entry in sets] == [
        ("images", "images/*.jpg"), ("images_1", "images/*.png"),
    ]  # fmt: skip


def test_the_reference_implementation_reads_it(shapes):
    mlcroissant = pytest.importorskip("mlcroissant")
    data = mlcroissant.Dataset(jsonld=str(shapes.root / "croissant.json"))  # validates
    assert data.metadata.issues.errors == set()
    rows = list(data.records("records"))
    assert len(rows) == len(shapes.records)
    first = shapes.records[0]
    assert rows[0]["records/image"].decode() == first.image and rows[0]["records/height"] == first.size[0]


def test_it_is_the_same_each_time(shapes):
    said = json.loads((shapes.root / "croissant.json").read_text())
    assert croissant(shapes, read_json(shapes.root / "card.json")) == said
