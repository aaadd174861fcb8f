"""Pictures of any kind come out as upright RGB; damaged ones are named."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seedbed.data.images import picture_size, read_mask, read_picture
from seedbed.errors import DataError
from seedbed.io.masks import encode_mask


def picture(height=6, width=8):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path, image, kind="PNG", **options):
    path.write_bytes(encoded(image, kind, **options))
    return path


def test_rgb_comes_out_as_it_is(tmp_path):
    path = write(tmp_path / "a.png", Image.fromarray(picture()))
    found = read_picture(path)
    np.testing.assert_array_equal(found, picture())
    assert found.dtype == np.uint8
    assert picture_size(path) == (6, 8)


def test_greyscale_is_repeated(tmp_path):
    grey = picture()[..., 0]
    for name, image in {"l": Image.fromarray(grey), "la": Image.fromarray(grey).convert("LA")}.items():
        np.testing.assert_array_equal(read_picture(write(tmp_path / name, image)), np.stack([grey] * 3, -1))
    bits = Image.fromarray((grey > 100).astype(np.uint8) * 255).convert("1")
    np.testing.assert_array_equal(read_picture(write(tmp_path / "1", bits))[..., 1], (grey > 100) * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, kind):
    wide = np.array([[0, 128, 129, 257], [25_700, 32_767, 65_406, 65_535]], np.uint16)
    found = read_picture(write(tmp_path / "a", Image.fromarray(wide), kind))
    assert found[..., 0].tolist() == [[0, 0, 1, 1], [100, 127, 254, 255]]
    assert (found == found[..., :1]).all()


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(200, 0, 0, 255), (200, 0, 0, 0), (0, 0, 0, 51)]
    found = read_picture(write(tmp_path / "a.png", Image.fromarray(rgba)))
    assert found[0].tolist() == [[200, 0, 0], [255, 255, 255], [204, 204, 204]]


def test_a_transparent_palette_colour_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    found = read_picture(write(tmp_path / "a.png", image, transparency=0))
    assert found[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_cmyk_is_converted(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = read_picture(write(tmp_path / "a.jpg", image, "JPEG", quality=100))
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif_rotation_is_applied(tmp_path, orientation, kind):
    """Each of the eight orientations, undone by numpy alone."""
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "a", Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    found = read_picture(path)
    assert found.shape == upright.shape
    assert picture_size(path) == (16, 24)
    assert np.abs(found.astype(int) - upright).max() < 40


def test_damaged_pictures_are_named(tmp_path):
    whole = encoded(Image.fromarray(picture(60, 60)), "JPEG")
    for name, content in {"cut.jpg": whole[: len(whole) // 2], "text.jpg": b"a text renamed"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: corrupt or not an image \(.*take the image out of the list"):
            read_picture(tmp_path / name)
    (tmp_path / "zero.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"zero\.jpg: the file is empty"):
        read_picture(tmp_path / "zero.jpg")
    for read in (read_picture, picture_size):
        with pytest.raises(DataError, match=r"gone\.jpg: no such image; the list of images names it"):
            read(tmp_path / "gone.jpg")
        with pytest.raises(DataError, match="corrupt or not an image"):
            read(tmp_path)
    for name in ("zero.jpg", "text.jpg"):
        with pytest.raises(DataError, match=rf"{name}: corrupt or not an image"):
            picture_size(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]), st.data())
def test_whatever_is_in_a_file_ends_as_a_picture_or_as_a_data_error(tmp_path_factory, kind, data):
    content = bytearray(encoded(Image.fromarray(picture()), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("pictures") / "a"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for read in (read_picture, picture_size):
        try:
            found = read(path)
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert len(found) == 2 if read is picture_size else found.shape[2:] == (3,)


def test_masks_must_fit_picture_and_classes(tmp_path):
    labels = np.array([[0, 1, 3], [2, 255, 0]], np.uint8)
    (tmp_path / "a.png").write_bytes(encode_mask(labels))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", (2, 3), 3), labels)
    with pytest.raises(DataError, match=r"a\.png: the mask is 2 x 3, its image 3 x 2"):
        read_mask(tmp_path / "a.png", (3, 2), 3)
    with pytest.raises(DataError, match=r"a\.png: value 3 is neither a class \(0\.\.2\) nor void \(255\)"):
        read_mask(tmp_path / "a.png", (2, 3), 2)
    with pytest.raises(DataError, match=r"gone\.png: no such mask file"):
        read_mask(tmp_path / "gone.png", (2, 3), 2)


@pytest.mark.parametrize(("value", "classes"), [(254, 253), (7, 6), (1, 0)])
def test_the_first_value_beyond_the_classes_is_named(tmp_path, value, classes):
    labels = np.full((2, 2), value, np.uint8)
    (tmp_path / "a.png").write_bytes(encode_mask(labels))
    with pytest.raises(DataError, match=f"value {value} is neither"):
        read_mask(tmp_path / "a.png", (2, 2), classes)
    assert (read_mask(tmp_path / "a.png", (2, 2), value) == value).all()


VALUES = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (VALUES.astype(np.float32) / 7, [0, 36, 73, 109, 146, 182, 219, 255]),
        (VALUES.astype(np.float32) * 30, [0, 30, 60, 90, 120, 150, 180, 210]),
        (VALUES.astype(np.float32) * 257 * 30, [0, 30, 60, 90, 120, 150, 180, 210]),
        (VALUES.astype(np.int32) * 30, [0, 30, 60, 90, 120, 150, 180, 210]),
        (VALUES.astype(np.int32) * 257 * 30, [0, 30, 60, 90, 120, 150, 180, 210]),
        (VALUES.astype(np.uint16) * 257 * 30, [0, 30, 60, 90, 120, 150, 180, 210]),
    ],
)
def test_depths_are_read_by_their_own_range(tmp_path, stored, expected):
    """Rounded half up, by hand: 1/7 of 255 is 36.4, 2/7 is 72.9."""
    path = write(tmp_path / "a.tif", Image.fromarray(stored), "TIFF")
    found = read_picture(path)
    assert found[..., 0].ravel().tolist() == expected and (found == found[..., :1]).all()


def test_signed_and_unsigned_integers_of_32_bits_fill_their_range(tmp_path):
    signed = np.array([[0, 2**30, 2**31 - 1]], np.int32)
    assert read_picture(write(tmp_path / "a.tif", Image.fromarray(signed), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (np.array([[-0.5, 0.5]], np.float32), "floats of 32 bits in -0.5..0.5"),
        (np.array([[0, np.nan]], np.float32), "values that are not finite"),
        (np.array([[0, 1e9]], np.float32), r"in 0\.\.1e\+09"),
        (np.array([[-5, 5]], np.int32), r"integers of 32 bits in -5\.\.5"),
        (np.array([[0, 100_000]], np.int32), r"in 0\.\.100000"),
    ],
)
def test_ranges_that_cannot_be_told_are_refused(tmp_path, stored, found):
    path = write(tmp_path / "a.tif", Image.fromarray(stored), "TIFF")
    with pytest.raises(DataError, match=rf"a\.tif: .*{found}.*Save it with 8 or 16 bits"):
        read_picture(path)


def test_pictures_with_too_many_pixels_say_so(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", Image.fromarray(picture(60, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (read_picture, picture_size):
        with pytest.raises(DataError, match=r"a\.png: has more than 0 megapixels.*mogrify -resize"):
            read(path)


def test_pictures_that_may_not_be_read_say_so(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", Image.fromarray(picture()))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    for read in (read_picture, picture_size):
        with pytest.raises(DataError, match=r"a\.png: may not be read \(permission denied\)"):
            read(path)
