"""Large images as reduced copies, with their masks and boxes."""

import numpy as np
from mini_archives import jpeg
from PIL import Image
from test_own_data import own_coco, own_folder, write

from seedbed.data.card import data_checksum
from seedbed.data.images import read_mask, read_picture
from seedbed.data.index import Box, read_index, write_index
from seedbed.data.own import read_own
from seedbed.data.own_reduction import Reduction
from seedbed.io.masks import encode_mask


def test_images_masks_and_sizes_are_reduced(tmp_path):
    source = own_folder(tmp_path / "mine")
    mask = np.zeros((40, 60), np.uint8)
    mask[:20, :30] = 1
    write(source, {"images/a.jpg": jpeg(40, 60), "masks/a.png": encode_mask(mask)})
    index = read_own(source, tmp_path / "set", longest_side=30)
    large, small = index.records
    assert large.size == (20, 30) and read_picture(index.root / large.path).shape == (20, 30, 3)
    np.testing.assert_array_equal(read_mask(index.root / large.mask, (20, 30), 2), mask[::2, ::2])
    assert (small.size, small.path) == ((8, 8), str(source / "images/b.jpg"))
    write_index(index)
    assert read_index(tmp_path / "set") == index
    again = read_own(source, tmp_path / "other", longest_side=30)
    write_index(again)
    assert data_checksum(again) == data_checksum(index)


def test_painted_masks_are_reduced_too(tmp_path):
    index = read_own(own_coco(tmp_path / "mine", "images"), tmp_path / "set", workers=1, longest_side=6)
    first = index.records[0]
    assert first.size == (5, 6) and first.boxes[0] == Box("cat", 1, 1, 4, 4)
    assert read_mask(index.root / first.mask, (5, 6), 2)[0, 0] == 1


def test_boxes_keep_a_pixel(tmp_path):
    reduction = Reduction(10, tmp_path)
    index = read_own(own_folder(tmp_path / "mine"), tmp_path / "set")
    record = index.records[0]
    record = type(record)(**{**record.__dict__, "size": (100, 50), "boxes": (Box("cat", 31, 41, 31, 60),)})
    reduced, none = reduction(record, np.zeros((100, 50, 3), np.uint8), None)
    assert none is None and reduced.size == (10, 5) and reduced.boxes == (Box("cat", 4, 5, 4, 6),)
    assert Image.open(tmp_path / "a.jpg").size == (5, 10)


def test_large_images_are_said(tmp_path):
    source = own_folder(tmp_path / "mine")
    (source / "masks/a.png").unlink()
    Image.new("RGB", (3001, 2000), (9, 99, 200)).save(source / "images/a.jpg")
    remarks = []
    read_own(source, tmp_path / "set", say=remarks.append)
    assert any("images of up to 6 million pixels" in remark and "longest_side=1024" in remark for remark in remarks)
