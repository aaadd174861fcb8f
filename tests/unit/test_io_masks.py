"""Palette PNGs and the zips that hold them."""

import hashlib
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from seedbed.errors import DataError
from seedbed.io.masks import MaskStore, decode_mask, encode_mask, voc_palette, write_masks

IDS = ["2007_000032", "a/b/c", "100%", "50%2F2", "with space", "ünïcode", "picture.png", "provenance.json"]


def mask(seed=0, shape=(6, 7)):
    return np.random.default_rng(seed).choice(np.array([0, 1, 20, 255], np.uint8), shape)


def png(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_palette_is_pascal_vocs():
    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    known |= {20: (0, 64, 128), 255: (224, 224, 192)}
    for index, colour in known.items():
        assert tuple(palette[index]) == colour
    assert len(np.unique(palette, axis=0)) == 256


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_encoding_round_trip(labels):
    np.testing.assert_array_equal(decode_mask(encode_mask(labels)), labels)


def test_a_mask_is_a_palette_png_that_any_viewer_colours():
    picture = Image.open(io.BytesIO(encode_mask(np.array([[0, 1], [15, 255]], np.uint8))))
    assert picture.mode == "P"
    assert picture.convert("RGB").getpixel((0, 1)) == (192, 128, 128)


def test_greyscale_and_small_palettes_are_read(tmp_path):
    labels = np.array([[0, 1], [3, 2]], np.uint8)
    np.testing.assert_array_equal(decode_mask(png(Image.fromarray(labels))), labels)
    picture = Image.fromarray(labels).convert("P")
    picture.putdata(labels.ravel().tolist())
    (tmp_path / "a.png").write_bytes(png(picture, bits=2))
    np.testing.assert_array_equal(decode_mask(tmp_path / "a.png"), labels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1", "I;16", "LA"])
def test_colours_are_no_labels(tmp_path, mode):
    (tmp_path / "a.png").write_bytes(png(Image.new(mode, (2, 2))))
    with pytest.raises(DataError, match=rf"a\.png: a mask must be a palette or 8-bit greyscale PNG, not mode {mode}"):
        decode_mask(tmp_path / "a.png")


def test_damaged_masks_are_named(tmp_path):
    whole = encode_mask(mask(shape=(60, 60)))
    for name, content in {"cut.png": whole[:-100], "empty.png": b"", "text.png": b"no picture"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: not a readable mask"):
            decode_mask(tmp_path / name)
    with pytest.raises(DataError, match=r"gone\.png: no such mask file"):
        decode_mask(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"^mask: not a readable mask"):
        decode_mask(b"no picture")


@pytest.mark.parametrize("labels", [np.zeros((2, 2)), np.zeros((2, 2), np.int64), np.zeros((2, 2, 3), np.uint8)])
def test_only_bytes_on_a_plane_are_masks(labels):
    with pytest.raises(DataError, match=r"must be uint8 \[H, W\], not"):
        encode_mask(labels)


def test_every_mask_comes_back_by_its_image(tmp_path):
    items = {image: mask(seed, (5 + seed, 7)) for seed, image in enumerate(IDS)}
    write_masks(tmp_path / "1.zip", list(items.items())[:4], {"seed": 3})
    write_masks(tmp_path / "2.zip", list(items.items())[4:], {"seed": 3})
    write_masks(tmp_path / "3.zip", [], {"seed": 3})
    store = MaskStore(sorted(tmp_path.iterdir()))
    assert list(store) == IDS
    assert len(store) == len(IDS)
    for image in reversed(IDS):
        np.testing.assert_array_equal(store[image], items[image])
    assert store.provenance() == {"seed": 3}
    assert dict(MaskStore([])) == {}
    assert MaskStore([]).provenance() == {}


def test_the_zip_is_stored_and_dated_to_nothing(tmp_path):
    write_masks(tmp_path / "1.zip", [("a/b", mask())], {})
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.namelist() == ["provenance.json", "a/b.png"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


PROGRAM = """
import sys, numpy as np
from seedbed.io.masks import write_masks
rng = np.random.default_rng(1)
write_masks(sys.argv[1], [(f"{k}", rng.integers(0, 9, (40, 30)).astype(np.uint8)) for k in range(5)], {"b": 1, "a": 2})
"""


def test_the_same_content_gives_the_same_bytes_in_every_process(tmp_path):
    for number in ("1", "2"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / f"{number}.zip")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": number})
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert len(digests) == 1


def test_an_image_must_not_come_twice(tmp_path):
    with pytest.raises(DataError, match=r"1\.zip: image 'a/b' comes twice"):
        write_masks(tmp_path / "1.zip", [("a/b", mask()), ("a/b", mask())], {})
    assert list(tmp_path.iterdir()) == []
    for name in ("1.zip", "2.zip"):
        write_masks(tmp_path / name, [("a/b", mask())], {})
    with pytest.raises(DataError, match=r"2\.zip: image 'a/b' is also in .*1\.zip"):
        MaskStore([tmp_path / "1.zip", tmp_path / "2.zip"])


def test_an_image_that_is_not_there(tmp_path):
    write_masks(tmp_path / "1.zip", [("a", mask())], {})
    store = MaskStore([tmp_path / "1.zip"])
    assert "a" in store
    assert "b" not in store
    with pytest.raises(DataError, match=r"No mask for image 'b' in 1 shard"):
        store["b"]


def test_archives_that_cannot_be_opened_are_named(tmp_path):
    write_masks(tmp_path / "1.zip", [("a", mask())], {})
    content = (tmp_path / "1.zip").read_bytes()
    for name, damaged in {"cut.zip": content[:-30], "empty.zip": b"", "text.zip": b"no zip"}.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{name}: not a readable mask archive"):
            MaskStore([tmp_path / name])
    with pytest.raises(DataError, match=r"gone\.zip: not a readable mask archive"):
        MaskStore([tmp_path / "gone.zip"])


@given(st.data())
def test_a_flipped_byte_is_found_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("store") / "1.zip"
    labels = mask(shape=(30, 30))
    write_masks(path, [("a", labels)], {})
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        store = MaskStore([path])
        found = store["a"]
    except DataError as error:
        assert "1.zip" in str(error) or "No mask for image 'a'" in str(error)
    else:
        np.testing.assert_array_equal(found, labels)


def test_a_zip_that_holds_no_png_names_archive_and_image(tmp_path):
    with zipfile.ZipFile(tmp_path / "1.zip", "w") as archive:
        archive.writestr("a.png", b"no picture")
    with pytest.raises(DataError, match=r"1\.zip, image 'a': not a readable mask"):
        MaskStore([tmp_path / "1.zip"])["a"]
    with pytest.raises(DataError, match=r"1\.zip: provenance\.json cannot be read"):
        MaskStore([tmp_path / "1.zip"]).provenance()


def _sums(store, images, results):
    results.put([int(store[image].sum()) for image in images])


def test_loader_processes_read_at_the_same_time(tmp_path):
    images = [f"{k}" for k in range(60)]
    write_masks(tmp_path / "1.zip", ((image, mask(k, (50, 50))) for k, image in enumerate(images)), {})
    store = MaskStore([tmp_path / "1.zip"])
    expected = [int(store[image].sum()) for image in images]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_sums, args=(store, images * 20, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=600) for _ in processes] == [expected * 20] * 3
    assert [int(pickle.loads(pickle.dumps(store))[image].sum()) for image in images] == expected


def test_the_content_has_one_checksum_however_it_is_divided(tmp_path):
    items = [("a", mask(0)), ("b/c", mask(1))]
    write_masks(tmp_path / "all.zip", items, {"device": "A100"})
    whole = MaskStore([tmp_path / "all.zip"]).content_sha256()
    shards = [tmp_path / "2.zip", tmp_path / "1.zip"]
    for shard, item in zip(shards, items, strict=True):
        write_masks(shard, [item], {"device": "H100"})
    assert MaskStore(shards).content_sha256() == whole
    for change in (("a", mask(2)), ("d", mask(0))):
        write_masks(shards[0], [change], {})
        assert MaskStore(shards).content_sha256() != whole
