"""Masks against labels: what contradicts is counted, and refused where it cannot be meant."""

import io
import struct
import zlib

import numpy as np
import pytest
from mini_archives import jpeg
from PIL import Image

from seedbed.data.images import read_mask
from seedbed.data.own import read_own
from seedbed.errors import DataError
from seedbed.io.masks import decode_mask, encode_mask, voc_palette

CLASSES = ("cat", "dog", "cow")


def folder(path, masks, labels, classes=CLASSES):
    """Images 00, 01, ... with a mask (its PNG, or an array) and a label each; all in train."""
    for name in ("images", "masks"):
        (path / name).mkdir(parents=True, exist_ok=True)
    lines = ["image,split,labels"]
    for number, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        (path / "images" / f"{number:02}.jpg").write_bytes(jpeg(4, 6, number))
        content = mask if isinstance(mask, bytes) else encode_mask(mask)
        (path / "masks" / f"{number:02}.png").write_bytes(content)
        lines.append(f"{number:02},train,{label}")
    (path / "labels.csv").write_text("\n".join(lines) + "\n")
    (path / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return path


def square(value):
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 1:3] = value
    return mask


def read(source):
    remarks = []
    index = read_own(source, source.with_name("set"), workers=1, say=remarks.append)
    return index, "\n".join(remarks)


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_masks_that_agree_say_nothing(tmp_path):
    source = folder(tmp_path / "mine", [square(k % 3 + 1) for k in range(12)], [CLASSES[k % 3] for k in range(12)])
    assert read(source)[1] == ""


def test_an_object_of_255_is_refused(tmp_path):
    source = folder(tmp_path / "mine", [square(255)] * 3, ["cat"] * 3, classes=("cat",))
    with pytest.raises(DataError, match=r"no mask shows any class: the masks of all 3 .* Is 255 your object"):
        read(source)


def test_masks_of_background_alone_are_said(tmp_path):
    source = folder(tmp_path / "mine", [square(0)] * 3, ["cat"] * 3)
    assert "no mask shows any class: the masks of all 3 labelled images hold only 0" in read(source)[1]


def test_shifted_numbers_are_refused_with_counts(tmp_path):
    labels = [CLASSES[k % 2] for k in range(12)]
    source = folder(tmp_path / "mine", [square(k % 2 + 2) for k in range(12)], labels)
    with pytest.raises(DataError) as caught:
        read(source)
    for text in (
        "only 0 of 12 masks show a label of their image",
        "6 of 12 masks show 'cow', which no image with a mask is labelled with",
        "no mask shows 'cat', which 6 images with a mask are labelled with",
    ):
        assert text in str(caught.value)


def test_few_masks_are_no_proof_but_are_said(tmp_path):
    source = folder(tmp_path / "mine", [square(2)] * 3, ["cat"] * 3)
    remarks = read(source)[1]
    assert "only 0 of 3 masks show a label of their image. A mask holds 0 for background, 1 for 'cat'" in remarks
    assert "3 of 3 masks show 'dog', which no image with a mask is labelled with" in remarks


def test_single_contradictions_are_counted(tmp_path):
    masks = [square(1)] * 9 + [square(2), np.where(square(1), 1, 2).astype(np.uint8)]
    source = folder(tmp_path / "mine", masks, ["cat"] * 9 + ["dog", "cat"])
    assert "1 of 11 masks show a class that their image is not labelled with; 0 lack one" in read(source)[1]


def test_names_that_tools_put_among_the_classes_are_refused(tmp_path):
    source = folder(tmp_path / "mine", [square(1)], ["cat"], classes=("__ignore__", "cat"))
    with pytest.raises(DataError, match="leave out '__ignore__'; it is no class, but value 255 of every mask"):
        read(source)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_greyscale_of_few_bits_gives_the_numbers_in_the_file(tmp_path, bits):
    value = min(3, 2**bits - 1)
    header = b"\x89PNG\r\n\x1a\n"
    source = folder(tmp_path / "mine", [grey_png(square(value), bits)], [CLASSES[value - 1]])
    assert (source / "masks/00.png").read_bytes().startswith(header)
    index, remarks = read(source)
    assert remarks == ""
    np.testing.assert_array_equal(read_mask(index.records[0].mask, (4, 6), 3), square(value))


def grey_png(values, bits):
    """A greyscale PNG of 1, 2 or 4 bits, packed by hand."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b""
    for row in values:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        rows += b"\0" + bytes(int(digits[k : k + 8], 2) for k in range(0, len(digits), 8))
    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_hold_numbers_too(tmp_path):
    wide = png(Image.fromarray(square(2).astype(np.uint16)))
    index, remarks = read(folder(tmp_path / "mine", [wide], ["dog"]))
    assert remarks == "" and index.records[0].labels == ("dog",)
    beyond = png(Image.fromarray(square(2).astype(np.uint16) * 200))
    with pytest.raises(DataError, match=r"00\.png: value 400 is outside 0\.\.255"):
        read(folder(tmp_path / "other", [beyond], ["dog"]))


def test_a_palette_in_another_order_is_read_by_its_colours_where_the_labels_say_so(tmp_path):
    """An optimiser of PNGs keeps the colours that occur and numbers them anew."""
    image = Image.fromarray((square(1) > 0).astype(np.uint8)).convert("P")
    image.putdata((square(1) > 0).astype(int).ravel().tolist())
    colour = list(voc_palette()[3 * 3 : 3 * 3 + 3])
    image.putpalette([0, 0, 0, *colour])
    index, remarks = read(folder(tmp_path / "mine", [png(image)] * 2, ["cow"] * 2))
    assert "2 of 2 masks have VOC's colours in another order" in remarks
    np.testing.assert_array_equal(decode_mask(tmp_path / "set" / index.records[0].mask), square(3))
    index, remarks = read(folder(tmp_path / "own" / "mine", [png(image)] * 2, ["cat"] * 2))
    assert remarks == "" and index.records[0].mask.endswith("mine/masks/00.png")


def test_masks_that_match_no_image(tmp_path):
    source = folder(tmp_path / "mine", [square(1)] * 3, ["cat"] * 3)
    for number in range(3):
        (source / f"masks/0{number}.png").rename(source / f"masks/0{number}_mask.png")
    with pytest.raises(DataError, match=r"masks: 0 of 3 files are the mask .* 00_mask\.png, 01_mask\.png"):
        read(source)
    (source / "masks/00_mask.png").rename(source / "masks/00.PNG")
    index, remarks = read(source)
    assert index.records[0].mask.endswith("00.PNG") and "masks: 1 of 3 files are the mask of a listed image" in remarks


def test_images_that_show_nothing_are_said(tmp_path):
    source = folder(tmp_path / "mine", [square(1)] * 4, ["cat"] * 4)
    for number, value in enumerate((0, 77)):
        Image.new("RGB", (6, 4), (value,) * 3).save(source / f"images/0{number}.jpg")
    Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 100).save(source / "images/02.png")
    (source / "images/02.jpg").unlink()
    remarks = read(source)[1]
    for text in (
        "1 of 4 images are black: 00",
        "1 of 4 images are of one colour: 01",
        "1 of 4 images are nearly black",
    ):
        assert text in remarks
