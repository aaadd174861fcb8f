"""index.csv and classes.txt: what is written is read back, and every mistake is named with its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedbed.data.index import (
    NO_CLASSES,
    Box,
    DataIndex,
    Record,
    read_classes,
    read_index,
    read_rows,
    shard,
    subset,
    together,
    validate_records,
    write_index,
)
from seedbed.errors import DataError

HEADER = "image,splits,labels,path,mask,height,width,boxes\n"
GOOD = 'a,train trainaug,cat dog,a.jpg,a.png,4,5,"cat:1,2,3,4"\n'

names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters=",:\ufeff"), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1)
sizes = st.integers(1, 10_000)


@st.composite
def indices(draw):
    classes = draw(
        st.lists(names.filter(lambda name: name.lower() not in NO_CLASSES), min_size=1, max_size=5, unique=True)
    )
    labels = st.lists(st.sampled_from(classes), max_size=4, unique=True).map(tuple)
    boxes = st.lists(st.builds(Box, st.sampled_from(classes), sizes, sizes, sizes, sizes), max_size=3).map(tuple)
    records = st.builds(
        Record,
        image=texts,
        splits=st.lists(names, max_size=3, unique=True).map(tuple),
        labels=labels,
        path=texts,
        mask=st.none() | texts,
        size=st.tuples(sizes, sizes),
        boxes=boxes,
    )
    found = draw(st.lists(records, max_size=4, unique_by=lambda record: record.image))
    return tuple(classes), tuple(found)


def write(folder, rows=GOOD, classes="cat\ndog\n"):
    (folder / "classes.txt").write_text(classes)
    (folder / "index.csv").write_text(HEADER + rows)
    return folder


@given(indices())
def test_round_trip(tmp_path_factory, index):
    root = tmp_path_factory.mktemp("data")
    given = DataIndex(root, *index)
    write_index(given)
    assert read_index(root) == given


def test_reading(tmp_path):
    index = read_index(write(tmp_path))
    assert index.classes == ("cat", "dog")
    assert index.records == (
        Record("a", ("train", "trainaug"), ("cat", "dog"), "a.jpg", "a.png", (4, 5), (Box("cat", 1, 2, 3, 4),)),
    )


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (GOOD + GOOD, r"index\.csv, line 3: image 'a' is listed twice"),
        (GOOD.replace(",4,5,", ",four,5,"), r"index\.csv, line 2: .*'four'"),
        (GOOD.replace("cat dog", "cat dgo"), r"index\.csv, line 2: Unknown label 'dgo'. Did you mean 'dog'\?"),
        (GOOD.replace("cat:1", "cta:1"), r"index\.csv, line 2: Unknown label 'cta'. Did you mean 'cat'\?"),
        (GOOD.replace("cat:1,2,3,4", "cat:1,2,3"), r"index\.csv, line 2: .*unpack"),
        (GOOD.replace("cat:1,2,3,4", "cat:1,2,3,x"), r"index\.csv, line 2: .*'x'"),
        ("a,train,cat\n", r"index\.csv, line 2: 3 values for 8 columns"),
        (GOOD.replace("\n", ",more\n"), r"index\.csv, line 2: 9 values for 8 columns"),
        ('a,"train\n', r"index\.csv, after line 1: not CSV"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, rows, problem):
    with pytest.raises(DataError, match=problem):
        read_index(write(tmp_path, rows))


def test_missing_files_and_columns_are_named(tmp_path):
    with pytest.raises(DataError, match=r"classes\.txt: no such file"):
        read_index(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"index\.csv: no such file. Prepare the data set first"):
        read_index(tmp_path)
    for content in ("", "image,splits,labels,path,height,width\n"):
        (tmp_path / "index.csv").write_text(content)
        with pytest.raises(DataError, match=r"index\.csv: lacks the column\(s\) boxes, .*mask"):
            read_index(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\n \n", "names no class"),
        (b"cat\ncat\ndog\n", "class 'cat' is named 2 times"),
        (b"wild cat\n", "'wild cat' must not hold a space"),
        (b"cat\tdog\n", "must not hold a space"),
        (b"cat,dog\n", "'cat,dog' must not hold"),
        (b"cat:dog\n", "'cat:dog' must not hold"),
        (b"background\ncat\n", "leave out 'background'"),
        (b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_classes_that_would_mislead_are_refused(tmp_path, content, problem):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"classes\.txt: .*{problem}"):
        read_classes(tmp_path / "classes.txt")


def test_classes_written_on_any_system(tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufeffcat\r\n  dog \r\n\r\nvögel".encode())
    assert read_classes(tmp_path / "classes.txt") == ("cat", "dog", "vögel")


def test_csv_written_on_any_system(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeffimage , labels\r\n"a, b",x y\r\n\r\nc,\r\n'.encode())
    rows = list(read_rows(tmp_path / "a.csv", ("image", "labels")))
    assert rows == [(2, {"image": "a, b", "labels": "x y"}), (4, {"image": "c", "labels": ""})]


def test_csv_in_another_encoding_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"image\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"a\.csv, after line \d: not CSV in UTF-8"):
        list(read_rows(tmp_path / "a.csv", ("image",)))


def record(image, splits=("train",), labels=()):
    return Record(image, splits, labels, f"{image}.jpg", None, (4, 5))


def test_splits_and_class_indices():
    records = (record("a", ("train", "trainaug")), record("b", ("trainaug",), ("dog", "cat")), record("c", ("val",)))
    index = DataIndex(Path("data"), ("cat", "cow", "dog"), records)
    assert index.splits() == {"train": 1, "trainaug": 2, "val": 1}
    assert [record.image for record in index.split("trainaug")] == ["a", "b"]
    assert [record.image for record in index.split("trainaug-train")] == ["b"]
    assert index.split("train-trainaug") == ()
    assert DataIndex(Path("data"), (), (record("a", ("x-y",)),)).split("x-y") == (record("a", ("x-y",)),)
    assert index.class_indices(records[1]) == (0, 2)
    assert index.class_indices(records[0]) == ()
    assert index.class_index("dog") == 2
    with pytest.raises(DataError, match=r"data: Unknown split 'vall'. Did you mean 'val'\?"):
        index.split("vall")
    with pytest.raises(DataError, match="Unknown split 'trian'"):
        index.split("trainaug-trian")


def test_records_are_sorted_and_checked():
    classes = ("cat", "dog")
    assert [r.image for r in validate_records([record("b"), record("a")], classes, "list")] == ["a", "b"]
    with pytest.raises(DataError, match=r"list: image ids listed more than once: a\."):
        validate_records([record("a"), record("b"), record("a")], classes, "list")
    with pytest.raises(DataError, match="list: image 'a': Unknown label 'cow'"):
        validate_records([record("a", labels=("cow",))], classes, "list")
    with pytest.raises(DataError, match="list: lists no image"):
        validate_records([], classes, "list")


def test_subsets():
    records = [record("a"), record("b", labels=("cat",)), record("c", labels=("cat", "dog"))]
    assert [r.image for r in subset(records, "single_class")] == ["b"]
    assert [r.image for r in subset(records, "two_classes")] == ["c"]
    assert subset(records, None) == tuple(records)
    with pytest.raises(DataError, match=r"Unknown subset 'single_clas'. Did you mean 'single_class'"):
        subset(records, "single_clas")
    with pytest.raises(DataError, match="No image of the split belongs to the subset 'two_classes'"):
        subset(records[:2], "two_classes")


@given(st.integers(0, 300), st.integers(1, 8))
def test_shards_are_a_partition_of_like_size(length, count):
    records = [record(f"{k:03}") for k in range(length)]
    parts = [shard(records, number, count) for number in range(1, count + 1)]
    assert sorted((r for part in parts for r in part), key=lambda r: r.image) == records
    assert max(map(len, parts)) - min(map(len, parts)) <= together(records)


@given(st.integers(1, 300), st.integers(1, 8), st.integers(1, 8))
def test_neighbours_stay_together_in_every_sharding(length, one, other):
    records = [record(f"{k:03}") for k in range(length)]

    def blocks(count):
        parts = [shard(records, number, count) for number in range(1, count + 1)]
        return {part[k : k + together(records)] for part in parts for k in range(0, len(part), together(records))}

    assert blocks(one) == blocks(other)


@pytest.mark.parametrize("number", [0, 4, -1])
def test_shards_that_do_not_exist(number):
    with pytest.raises(ValueError, match=f"shard {number} of 3"):
        shard([], number, 3)
