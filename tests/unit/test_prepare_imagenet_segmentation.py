"""ImageNet-Segmentation, from a file with MATLAB's references and reversed axes."""

import h5py
import numpy as np
import pytest
from mini_archives import gtsegs

from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import read_index, write_index
from seedbed.data.published.imagenet_segmentation import EXPECTED, SOURCE, prepare_imagenet_segmentation
from seedbed.data.raw.verify import check_readable, wrong_format
from seedbed.errors import DataError

SIZES = [(5, 9), (12, 7), (8, 8)]


def items(dtype=np.uint8):
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 2, size).astype(dtype)) for size in SIZES]


def raw(tmp_path, content, **more):
    path = tmp_path / "set" / SOURCE
    path.parent.mkdir(parents=True)
    gtsegs(path, content, **more)
    return tmp_path / "set"


def prepare(root, count=3, workers=1):
    return prepare_imagenet_segmentation(root, expected={"val": count}, workers=workers)


def test_the_published_number_is_expected():
    assert EXPECTED == {"val": 4276}


def test_the_miniature_is_a_matlab_file(tmp_path):
    path = raw(tmp_path, items()) / SOURCE
    assert path.read_bytes()[:6] == b"MATLAB" and path.read_bytes()[512:516] == b"\x89HDF"
    assert wrong_format(path.read_bytes()[:1024], path.name) is None
    check_readable(path, path.name)


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_and_masks_come_out_as_they_went_in(tmp_path, workers):
    root = raw(tmp_path, items())
    index = prepare(root, workers=workers)
    assert index.classes == ("object",) and index.splits() == {"val": 3}
    for record, (picture, mask) in zip(index.records, items(), strict=True):
        assert record.size == picture.shape[:2] and record.labels == ("object",)
        np.testing.assert_array_equal(read_picture(root / record.path), picture)
        np.testing.assert_array_equal(read_mask(root / record.mask, record.size, 1), mask)
    write_index(index)
    assert read_index(root) == index


def test_minus_one_becomes_void(tmp_path):
    content = items(np.int16)
    content[1][1][:2] = -1
    root = raw(tmp_path, content)
    mask = read_mask(root / prepare(root).records[1].mask, (12, 7), 1)
    assert (mask[:2] == 255).all() and set(np.unique(mask[2:])) == {0, 1}


def test_another_number_of_pictures_is_an_error_and_leaves_nothing(tmp_path):
    root = raw(tmp_path, items())
    with pytest.raises(DataError, match="split 'val' has 3 images, the published one 4,276"):
        prepare_imagenet_segmentation(root, workers=1)
    assert [path.name for path in root.iterdir()] == ["raw"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content.__setitem__(1, (content[1][0], content[1][1][:-1])), "image 1: the mask is"),
        (lambda content: content.__setitem__(1, (content[1][0], content[1][1] * 2)), "values other than 0, 1 and -1"),
        (lambda content: content.__setitem__(1, (content[1][0] / 255, content[1][1])), "must be uint8"),
    ],
)
def test_an_item_at_fault_is_named(tmp_path, spoil, message, workers):
    content = items()
    spoil(content)
    with pytest.raises(DataError, match=message):
        prepare(raw(tmp_path, content), workers=workers)


def test_a_file_at_fault_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gtsegs_ijcv\.mat: no such file"):
        prepare(tmp_path)
    root = raw(tmp_path, items(), broken=(2,))
    with pytest.raises(DataError, match="image 2: cannot be read"):
        prepare(root)
    (root / SOURCE).write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        prepare(root)
    with h5py.File(root / SOURCE, "w") as file:
        file["value/img"] = np.zeros((3, 1))
    with pytest.raises(DataError, match="lacks value/img and value/gt"):
        prepare(root)
