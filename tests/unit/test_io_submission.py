"""Archives for PASCAL VOC's evaluation server: the layout it asks for, the same bytes each time, nothing half done."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from seedbed.errors import DataError
from seedbed.io.masks import voc_palette
from seedbed.io.submission import write_submission

MASKS = {
    "2008_000002": np.array([[0, 1, 20], [20, 1, 0]], np.uint8),
    "2007_000001": np.zeros((4, 2), np.uint8),
    "2007_train": np.full((2, 2), 255, np.uint8),  # of another split
}
SIZES = {image: MASKS[image].shape for image in ("2008_000002", "2007_000001")}


def test_layout_is_the_servers(tmp_path):
    found = write_submission(tmp_path / "a.tgz", MASKS, SIZES, "test", 21)
    folder = "results/VOC2012/Segmentation/comp6_test_cls"
    digest = hashlib.sha256((tmp_path / "a.tgz").read_bytes()).hexdigest()
    assert found == {"folder": folder, "images": 2, "sha256": digest}
    with tarfile.open(tmp_path / "a.tgz", "r:gz") as archive:
        assert archive.getnames() == [f"{folder}/2007_000001.png", f"{folder}/2008_000002.png"]
        for image in SIZES:
            picture = Image.open(io.BytesIO(archive.extractfile(f"{folder}/{image}.png").read()))
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), MASKS[image])
            assert bytes(picture.getpalette())[: 3 * 21] == voc_palette()[: 3 * 21]


def test_the_same_masks_give_the_same_bytes(tmp_path):
    write_submission(tmp_path / "a.tgz", MASKS, SIZES, "val", 21)
    write_submission(tmp_path / "other.tgz", dict(reversed(MASKS.items())), dict(reversed(SIZES.items())), "val", 21)
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "other.tgz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "labels", "problem"),
    [
        ({"2007_000001": np.zeros((2, 4), np.uint8)}, 21, "prediction of '2007_000001' is 2 x 4, its image 4 x 2"),
        ({}, 20, "prediction of '2008_000002' holds label 20; it may hold 0..19"),
        ({"2007_000001": np.full((4, 2), 255, np.uint8)}, 21, "'2007_000001' holds label 255"),
    ],
)
def test_predictions_that_the_server_would_refuse(changes, labels, problem, tmp_path):
    with pytest.raises(DataError, match=problem):
        write_submission(tmp_path / "a.tgz", {**MASKS, **changes}, SIZES, "test", labels)
    assert list(tmp_path.iterdir()) == []
