"""labels.csv as people and their programs write it, and the splits that a plan takes from a folder."""

import pytest
from mini_archives import jpeg

from seedbed.data.folder import read_folder
from seedbed.data.own_labels import LabelRow, read_labels, split_name
from seedbed.data.own_layout import own_splits
from seedbed.errors import DataError

ROWS = [LabelRow(2, "a", "train", ("cat", "dog")), LabelRow(3, "b", "val", ())]
TEXT = "image,split,labels\na,train,cat dog\nb,val,\n"


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = []
    return read_labels(path, problems), problems


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace(",", " | "),
        TEXT.replace("image,split,labels", "Image, SPLIT ,Labels"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("train", "Train").replace("val", "Validation"),
        TEXT.replace("train", "training").replace("val", "VALID"),
        TEXT.replace("cat dog", '"cat, dog"'),
        TEXT.replace("cat dog", "cat dog cat"),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        "labels,image,more,split\ncat dog,a,x,train\n,b,y,val\n",
        "image;split;labels\na;train;cat dog;;\nb;val;;\n",
    ],
)
def test_one_table_in_many_forms(tmp_path, content):
    assert read(tmp_path / "labels.csv", content) == (ROWS, [])


def test_a_hint_for_spreadsheets_is_no_header(tmp_path):
    rows, problems = read(tmp_path / "labels.csv", "sep=;\nimage;split;labels\na;train;cat\nb;val\n")
    assert rows == [LabelRow(3, "a", "train", ("cat",))] and "line 4: 2 values" in problems[0]


def test_latin_1_is_read_and_said(tmp_path, caplog):
    rows, _ = read(tmp_path / "labels.csv", "image,split,labels\nvögel,train,käfer\n".encode("latin-1"))
    assert rows == [LabelRow(2, "vögel", "train", ("käfer",))]
    assert "labels.csv: is not UTF-8; it is read as Latin-1" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a train cat\n", r"lacks the column\(s\) image, split, labels.*one column named 'a train cat': separated by"),
        ("image:split:labels\na:train:cat\n", "lacks .*one column named 'image:split:labels'"),
        ("image,labels\na,cat\n", r"lacks the column\(s\) split. Its first line names 'image', 'labels'"),
        ("", "is empty"),
        (b"\xff\xfe\x00", "is no text"),
        (b"PK\x03\x04 and more", "is a spreadsheet or another archive"),
        ('image,split,labels\na,"train\n', "is no table"),
    ],
)
def test_what_was_found_is_said(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"labels\.csv: {message}"):
        read(tmp_path / "labels.csv", content)
    with pytest.raises(DataError, match=r"labels\.csv: no such file"):
        read_labels(tmp_path / "gone" / "labels.csv", [])


def test_lines_of_another_length_are_problems(tmp_path):
    rows, problems = read(tmp_path / "labels.csv", "image,split,labels\na,train,cat,dog\n\nb,val\nc,val,dog\n")
    assert rows == [LabelRow(5, "c", "val", ("dog",))]
    assert [problem.split(".")[1] for problem in problems] == [
        "csv, line 2: 4 values for 3 columns",
        "csv, line 4: 2 values for 3 columns",
    ]


def test_names_of_splits():
    names = {"Train": "train", " VAL ": "val", "valid": "val", "Validation": "val", "Test": "Test", "": ""}
    assert {name: split_name(name) for name in names} == names


@pytest.mark.parametrize(
    ("content", "splits"),
    [
        (TEXT, ["train", "val"]),
        ("Image;Split;Labels\na;Train;cat\n", ["train"]),
        ("image,split,labels\nb,VALID,\n", ["val"]),
    ],
)
def test_a_plan_has_the_splits_of_the_table(tmp_path, content, splits):
    (tmp_path / "labels.csv").write_text(content)
    assert own_splits(tmp_path) == splits


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,split,labels\n", "lists no image"),
        ("image,split,labels\na,test,cat\nb,,cat\n", "no image is in the split 'train' or 'val'; found: '', 'test'"),
        ("image split labels\n", "one column named"),
    ],
)
def test_a_plan_is_never_empty(tmp_path, content, message):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        own_splits(tmp_path)


def test_indexing_reads_the_table_in_the_same_way(tmp_path):
    (tmp_path / "mine/images").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "mine/images" / f"{name}.jpg").write_bytes(jpeg(4, 5))
    (tmp_path / "mine/labels.csv").write_bytes("Image;Split;Labels\na;Train;cat\nb;Validation;\n".encode("utf-16"))
    (tmp_path / "mine/classes.txt").write_bytes("cat\r\ndog\r\n".encode("utf-16"))
    index = read_folder(tmp_path / "mine", tmp_path / "set")
    assert index.classes == ("cat", "dog") and index.splits() == {"train": 1, "trainaug": 1, "val": 1}
