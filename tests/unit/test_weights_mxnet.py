"""The reader of MXNet archives, against files written here from the format's description."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError
from seedbed.models.weights.mxnet import read_params

FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
VERSIONS = ("legacy", "v1", "v2", "v3")


def array_bytes(array: np.ndarray, version: str) -> bytes:
    magic = {"v1": 0xF993FAC8, "v2": 0xF993FAC9, "v3": 0xF993FACA}
    head = b"" if version == "legacy" else struct.pack("<I", magic[version])
    if version in ("v2", "v3"):
        head += struct.pack("<i", 0)
    head += struct.pack("<I", array.ndim)
    head += struct.pack(f"<{array.ndim}{'I' if version == 'legacy' else 'q'}", *array.shape)
    if array.ndim == 0:
        return head
    return head + struct.pack("<iii", 1, 0, FLAGS[array.dtype.name]) + array.tobytes()


def archive_bytes(arrays: dict[str, np.ndarray], version: str) -> bytes:
    names = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in arrays)
    body = b"".join(array_bytes(array, version) for array in arrays.values())
    count = struct.pack("<Q", len(arrays))
    return struct.pack("<QQ", 0x112, 0) + count + body + count + names


EXAMPLE = {
    "arg:conv_weight": np.arange(12, dtype=np.float32).reshape(2, 3, 1, 2),
    "aux:mean": np.array([1.5, -2], np.float32),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", FLAGS)
def test_every_version_and_type(tmp_path, version, dtype):
    arrays = {"a": np.array([[1, 2, 3], [4, 5, 6]], dtype), "b": np.array([7], dtype)}
    (tmp_path / "a.params").write_bytes(archive_bytes(arrays, version))
    read = read_params(tmp_path / "a.params")
    assert list(read) == ["a", "b"]
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
        assert read[name].flags.writeable


def test_versions_may_be_mixed_and_absent_arrays_are_empty(tmp_path):
    body = b"".join(array_bytes(np.full(2, i, np.float32), version) for i, version in enumerate(VERSIONS))
    body += array_bytes(np.float32(0), "v2")  # no dimensions: MXNet's "no array"
    names = b"".join(struct.pack("<Q", 1) + name for name in (b"a", b"b", b"c", b"d", b"e"))
    count = struct.pack("<Q", 5)
    (tmp_path / "a.params").write_bytes(struct.pack("<QQ", 0x112, 0) + count + body + count + names)
    read = read_params(tmp_path / "a.params")
    assert [read[name].tolist() for name in "abcd"] == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert read["e"].size == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_cut_anywhere_is_refused(tmp_path, version):
    whole, path = archive_bytes(EXAMPLE, version), tmp_path / "cut.params"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut\.params is not a whole"):
            read_params(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), version=st.sampled_from(VERSIONS))
def test_a_damaged_byte_is_refused_or_changes_only_values(tmp_path_factory, data, version):
    whole = bytearray(archive_bytes(EXAMPLE, version))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.params"
    path.write_bytes(whole)
    try:
        read = read_params(path)
    except DataError as error:
        assert "a.params" in str(error)
    else:
        assert len(read) == 2


def damaged(version: str, old: bytes, new: bytes) -> bytes:
    whole = archive_bytes(EXAMPLE, version)
    assert whole.count(old) >= 1
    return whole.replace(old, new, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04" + bytes(60), "magic number"),
        (archive_bytes(EXAMPLE, "v2") + b"x", "1 bytes follow"),
        (damaged("v2", struct.pack("<Ii", 0xF993FAC9, 0), struct.pack("<Ii", 0xF993FAC9, 1)), "not dense"),
        (damaged("legacy", struct.pack("<Iiii", 2, 1, 0, 0), struct.pack("<Iiii", 2, 1, 0, 9)), "data type 9"),
        (damaged("v1", struct.pack("<q", 3), struct.pack("<q", -3)), "shape"),
        (damaged("v1", struct.pack("<q", 3), struct.pack("<q", 2**40)), "ends inside"),
        (damaged("legacy", struct.pack("<I", 4), struct.pack("<I", 400)), "400 dimensions"),
        (damaged("v2", struct.pack("<Q", 2), struct.pack("<Q", 2**50)), "claims"),
        (damaged("v2", b"aux:mean", b"\xff\xff\xff\xffmean"), "not text"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, reason):
    path = tmp_path / "a.params"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_params(path)


def test_names_are_unique_and_as_many_as_arrays(tmp_path):
    path = tmp_path / "a.params"
    twice = {"aa": np.ones(1, np.float32), "bb": np.ones(1, np.float32)}
    path.write_bytes(archive_bytes(twice, "v2").replace(b"bb", b"aa"))
    with pytest.raises(DataError, match="twice"):
        read_params(path)
    whole = archive_bytes(twice, "v2")
    names_at = len(whole) - 2 * (8 + 2) - 8
    path.write_bytes(whole[:names_at] + struct.pack("<Q", 1) + struct.pack("<Q", 2) + b"aa")
    with pytest.raises(DataError, match="2 arrays but 1 names"):
        read_params(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        read_params(tmp_path / "nowhere.params")
