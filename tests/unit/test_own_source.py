"""The same images in another place are the same data; other images of the same name are refused."""

import os
import shutil

import numpy as np
import pytest
from mini_archives import jpeg

from seedbed.data.card import data_checksum, write_card
from seedbed.data.images import read_picture
from seedbed.data.index import read_index, write_index
from seedbed.data.own import read_own
from seedbed.data.own_source import claim, contents, write_record
from seedbed.errors import DataError
from seedbed.io.atomic import read_json
from seedbed.io.masks import encode_mask


def own_folder(folder, labels="cat"):
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, name in enumerate("ab"):
        (folder / "images" / f"{name}.jpg").write_bytes(jpeg(6, 8, number))
    (folder / "masks" / "a.png").write_bytes(encode_mask(np.ones((6, 8), np.uint8)))
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "labels.csv").write_text(f"image,split,labels\na,train,{labels}\nb,val,\n")
    return folder


def prepare(source, root):
    claim(root, source)
    index = read_own(source, root)
    write_index(index)
    write_card(index, "mine", "your own", {})
    write_record(root, source)
    return index


def test_the_same_images_have_one_index_and_one_checksum(tmp_path):
    first = prepare(own_folder(tmp_path / "here"), tmp_path / "one")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    second = prepare(tmp_path / "there", tmp_path / "two")
    texts = [(tmp_path / name / "index.csv").read_text() for name in ("one", "two")]
    assert texts[0] == texts[1] and str(tmp_path) not in texts[0] and "source/images/a.jpg" in texts[0]
    assert read_json(tmp_path / "one/card.json") == read_json(tmp_path / "two/card.json")
    assert data_checksum(first) == data_checksum(second)
    (tmp_path / "there/masks/a.png").write_bytes(encode_mask(np.full((6, 8), 2, np.uint8)))
    assert data_checksum(read_index(tmp_path / "two")) != data_checksum(first)


def test_a_moved_folder_is_followed(tmp_path):
    prepare(own_folder(tmp_path / "here"), tmp_path / "set")
    before = contents(tmp_path / "set", tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    claim(tmp_path / "set", tmp_path / "there")
    assert contents(tmp_path / "set", tmp_path / "there") == before
    index = read_index(tmp_path / "set")
    assert index.records[0].path == str(tmp_path / "there/images/a.jpg")
    assert read_picture(index.root / index.records[0].path).shape == (6, 8, 3)


def test_a_copy_without_its_times_is_the_same(tmp_path):
    prepare(own_folder(tmp_path / "here"), tmp_path / "set")
    before = contents(tmp_path / "set", tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy/labels.csv", ns=(1, 1))
    claim(tmp_path / "set", tmp_path / "copy")
    assert contents(tmp_path / "set", tmp_path / "copy") == before
    assert read_json(tmp_path / "set/sources.json")["files"]["labels.csv"][1] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "labels.csv").write_text("image,split,labels\na,train,dog\nb,val,\n"),
        lambda folder: (folder / "masks/b.png").write_bytes(encode_mask(np.zeros((6, 8), np.uint8))),
        lambda folder: (folder / "images/b.jpg").write_bytes(jpeg(6, 8, 9)),
        lambda folder: (folder / "masks/a.png").unlink(),
        lambda folder: (folder / "Annotations").mkdir() or (folder / "Annotations/a.xml").write_text("<annotation/>"),
    ],
)
def test_a_change_of_anything_is_noticed(tmp_path, change):
    source = own_folder(tmp_path / "here")
    prepare(source, tmp_path / "set")
    before = contents(tmp_path / "set", source)
    change(source)
    assert contents(tmp_path / "set", source) != before


def test_a_touched_file_a_hidden_one_and_the_runs_own_folders_are_no_change(tmp_path, monkeypatch):
    source = own_folder(tmp_path / "here")
    prepare(source, tmp_path / "set")
    before = contents(tmp_path / "set", source)
    for path in source.rglob("*"):
        os.utime(path, ns=(5, 5))
    (source / ".DS_Store").write_text("x")
    monkeypatch.chdir(source)
    (source / "results").mkdir()
    (source / "results/made.txt").write_text("x")
    assert contents(tmp_path / "set", source) == before


def test_files_that_were_only_touched_are_indexed_anew_without_a_change(tmp_path):
    """Else the job that indexes them would be due once more: it was planned with the digest from before."""
    source, root = own_folder(tmp_path / "here"), tmp_path / "set"
    prepare(source, root)
    for path in source.rglob("*"):
        os.utime(path, ns=(5, 5))
    planned = contents(root, source)
    prepare(source, root)
    assert contents(root, source) == planned


@pytest.mark.parametrize("gone", [False, True])
def test_two_folders_of_one_name_are_refused_and_both_are_named(tmp_path, gone):
    first, second = own_folder(tmp_path / "x/photos"), own_folder(tmp_path / "y/photos", labels="dog")
    prepare(first, tmp_path / "set")
    if gone:
        shutil.rmtree(first)
    with pytest.raises(DataError) as caught:
        claim(tmp_path / "set", second)
    for text in (str(first), str(second), "dataset_name=y_photos", "is gone" if gone else "has other files"):
        assert text in str(caught.value)
    assert read_json(tmp_path / "set/sources.json")["folder"] == str(first)
    (tmp_path / "set/sources.json").unlink()
    claim(tmp_path / "set", second)
    assert (tmp_path / "set/source").readlink() == second


def test_a_name_that_was_only_planned_is_free(tmp_path):
    first, second = own_folder(tmp_path / "x/photos"), own_folder(tmp_path / "y/photos")
    claim(tmp_path / "set", first)
    claim(tmp_path / "set", second)
    assert (tmp_path / "set/source").readlink() == second


def test_what_stands_in_the_way_of_the_link_is_left(tmp_path):
    (tmp_path / "set/source").mkdir(parents=True)
    with pytest.raises(DataError, match="is in the way of a link"):
        claim(tmp_path / "set", own_folder(tmp_path / "here"))


def test_the_data_sets_own_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"datasets\.set\.path: .*set is where the index of set is written"):
        claim(tmp_path / "set", own_folder(tmp_path / "set"))
