"""Your own pictures: everything a person may get wrong in a folder is named."""

import re

import numpy as np
import pytest
from PIL import Image

from seedbed.data.card import data_checksum, read_checksum, write_card
from seedbed.data.folder import read_folder
from seedbed.data.images import read_picture
from seedbed.data.index import read_index, write_index
from seedbed.errors import DataError
from seedbed.io.masks import encode_mask


def write_picture(path, height=6, width=8):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)).save(path)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "my pictures"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for name in ("one.jpg", "two.PNG", "three.v2.jpeg"):
        write_picture(folder / "images" / name)
    (folder / "masks" / "one.png").write_bytes(encode_mask(np.array([[0, 1, 2, 255] * 2] * 6, np.uint8)))
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "labels.csv").write_text("image,split,labels\none,train,dog cat\ntwo,val,\nthree.v2,train,cat\n")
    return folder


def replace(source, old, new):
    text = (source / "labels.csv").read_text()
    assert old in text
    (source / "labels.csv").write_text(text.replace(old, new))


def test_index_of_a_folder(source, tmp_path):
    index = read_folder(source, tmp_path / "data")
    assert index.classes == ("cat", "dog")
    assert index.splits() == {"train": 2, "trainaug": 2, "val": 1}
    one, three, two = index.records
    assert (one.image, one.labels, one.size) == ("one", ("dog", "cat"), (6, 8))
    assert (two.labels, two.mask, two.splits) == ((), None, ("val",))
    assert three.splits == ("train", "trainaug")
    assert one.mask == str(source / "masks" / "one.png")
    assert read_picture(index.root / two.path).shape == (6, 8, 3)


def test_the_index_is_read_back_and_has_a_card(source, tmp_path):
    index = read_folder(source, tmp_path / "data")
    write_index(index)
    write_card(index, "mine", "unknown", {})
    assert read_index(tmp_path / "data") == index
    assert read_checksum(tmp_path / "data") == data_checksum(index)


def test_files_saved_by_a_spreadsheet(source, tmp_path):
    (source / "classes.txt").write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\n")
    rows = "\ufeffimage, split ,labels\r\none , train, dog  cat \r\n two,val,\r\n\r\nthree.v2,train,cat cat\r\n"
    (source / "labels.csv").write_bytes(rows.encode())
    index = read_folder(source, tmp_path / "data")
    assert [(record.image, record.labels) for record in index.records] == [
        ("one", ("dog", "cat")),
        ("three.v2", ("cat",)),
        ("two", ()),
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("dog cat", "dog cta", r"labels\.csv, line 2: Unknown label 'cta'. Did you mean 'cat'\?"),
        ("dog cat", "dog,cat", r"labels\.csv, line 2: 4 values for 3 columns. .*separated by spaces, not commas"),
        ("two,val", "two,test", r"labels\.csv, line 3: Unknown split 'test'.*Known: train, val"),
        ("two,val", "two,vla", r"labels\.csv, line 3: Unknown split 'vla'. Did you mean 'val'\?"),
        ("two,val", "four,val", r"labels\.csv, line 3: there is no image 'four' in .*images"),
        ("two,val", "two.PNG,val", r"labels\.csv, line 3: there is no image 'two\.PNG'.*Leave the extension out"),
        ("two,val", "../images/two,val", r"labels\.csv, line 3: there is no image '\.\./images/two'"),
        ("two,val", ",val", r"labels\.csv, line 3: there is no image ''"),
        ("two,val", "one,val", r"labels\.csv: image ids listed more than once: one"),
        ("image,split", "picture,split", r"labels\.csv: lacks the column\(s\) image"),
        ("one,train,dog cat\n", "one,train\n", r"labels\.csv, line 2: 2 values for 3 columns"),
    ],
)
def test_mistakes_in_the_list(source, tmp_path, old, new, problem):
    replace(source, old, new)
    with pytest.raises(DataError, match=problem):
        read_folder(source, tmp_path / "data")


def test_an_empty_list(source, tmp_path):
    (source / "labels.csv").write_text("image,split,labels\n")
    with pytest.raises(DataError, match=r"labels\.csv: lists no image"):
        read_folder(source, tmp_path / "data")


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ("labels.csv", r"labels\.csv: no such file. It needs the columns image,split,labels"),
        ("classes.txt", r"classes\.txt: no such file. It must name the classes"),
    ],
)
def test_missing_files(source, tmp_path, missing, problem):
    (source / missing).unlink()
    with pytest.raises(DataError, match=problem):
        read_folder(source, tmp_path / "data")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(DataError, match=re.escape(str(tmp_path)) + ": has no folder 'images'"):
        read_folder(tmp_path, tmp_path / "data")


def test_two_pictures_of_one_name(source, tmp_path):
    write_picture(source / "images" / "one.png")
    with pytest.raises(DataError, match=r"line 2: two images are named 'one': one\.jpg, one\.png"):
        read_folder(source, tmp_path / "data")


def test_every_problem_is_listed_at_once(source, tmp_path):
    (source / "images" / "one.jpg").write_bytes(b"")
    (source / "images" / "two.PNG").write_text("a text renamed")
    (source / "masks" / "three.v2.png").write_bytes(encode_mask(np.zeros((8, 6), np.uint8)))
    with pytest.raises(DataError) as caught:
        read_folder(source, tmp_path / "data")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "one.jpg: the file is empty" in lines[0]
    assert "two.PNG: corrupt or not an image" in lines[1]
    assert "three.v2.png: the mask is 8 x 6, its image 6 x 8" in lines[2]


def test_long_lists_of_problems_are_cut(source, tmp_path):
    with (source / "labels.csv").open("a") as stream:
        stream.writelines(f"gone{k},train,cat\n" for k in range(25))
    with pytest.raises(DataError, match=r"gone19.*\n\.\.\. and 5 more$"):
        read_folder(source, tmp_path / "data")


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (np.full((6, 8), 3, np.uint8), r"one\.png: value 3 is neither a class \(0\.\.2\) nor void"),
        (np.zeros((5, 8), np.uint8), r"one\.png: the mask is 5 x 8, its image 6 x 8"),
    ],
)
def test_masks_that_do_not_fit(source, tmp_path, mask, problem):
    (source / "masks" / "one.png").write_bytes(encode_mask(mask))
    with pytest.raises(DataError, match=problem):
        read_folder(source, tmp_path / "data")


def test_coloured_masks(source, tmp_path):
    Image.new("RGB", (8, 6)).save(source / "masks" / "one.png")
    with pytest.raises(DataError, match=r"one\.png: a mask must be a palette or 8-bit greyscale PNG, not mode RGB"):
        read_folder(source, tmp_path / "data")


def test_hidden_files_and_other_files_are_no_pictures(source, tmp_path):
    (source / "images" / "._one.jpg").write_bytes(b"left by another system")
    (source / "images" / "one.txt").write_text("notes")
    assert len(read_folder(source, tmp_path / "data").records) == 3
