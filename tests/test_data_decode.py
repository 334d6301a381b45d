"""minizf/data/decode.py: every kind of image, every kind of damage."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from minizf.data import DataError
from minizf.data.decode import check_header, decode, resize_pixels

RGB = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
GRAY = RGB[:, :, 0]


def saved(image, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(height, width):
    """Smooth, unlike noise, so that JPEG and resizing keep it."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=-1).astype(np.uint8)


def outcome(data, size):
    """(image, "") or (None, the error's message)."""
    try:
        return decode(data, "dir/photo", size), ""
    except DataError as error:
        return None, str(error)


def planes(pixels):
    return np.asarray(pixels).transpose(2, 0, 1)


def test_rgb_is_taken_as_it_is():
    out = decode(saved(Image.fromarray(RGB)), "a.png", 7)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, planes(RGB))


def test_gray_and_one_bit_are_repeated():
    np.testing.assert_array_equal(decode(saved(Image.fromarray(GRAY)), "a.png", 7), np.stack([GRAY] * 3))
    bits = GRAY > 127
    np.testing.assert_array_equal(decode(saved(Image.fromarray(bits)), "a.png", 7)[1], bits * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_gray_keeps_its_range(kind):
    values = np.linspace(0, 65535, 49).astype(np.uint16).reshape(7, 7)
    out = decode(saved(Image.fromarray(values), kind), "a", 7)
    np.testing.assert_array_equal(out, np.stack([np.rint(values / 257)] * 3))


def test_palette():
    image = Image.fromarray(np.arange(49, dtype=np.uint8).reshape(7, 7) % 4, "L").copy()
    indexed = Image.fromarray(np.asarray(image))
    indexed = indexed.convert("P")
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    out = decode(saved(indexed, "GIF"), "a.gif", 7)
    np.testing.assert_array_equal(out[:, 0, :4], [[10, 40, 70, 100], [20, 50, 80, 110], [30, 60, 90, 120]])


def test_cmyk():
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[..., 1] = 255  # full magenta: red and blue stay
    out = decode(saved(Image.fromarray(ink, "CMYK"), "TIFF"), "a.tif", 8)
    np.testing.assert_array_equal(out[:, 3, 3], [255, 0, 255])
    jpeg = decode(saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=95), "a.jpg", 8)
    np.testing.assert_allclose(jpeg[:, 3, 3], [255, 0, 255], atol=6)


def test_transparency_is_laid_over_white():
    rgba = np.zeros((7, 7, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:3, :, 3] = 255
    rgba[3, :, 3] = 128
    out = decode(saved(Image.fromarray(rgba)), "a.png", 7)
    np.testing.assert_array_equal(out[:, 0, 0], [200, 0, 0])
    np.testing.assert_allclose(out[:, 3, 0], [227, 127, 127], atol=1)
    np.testing.assert_array_equal(out[:, 6, 0], [255, 255, 255])
    indexed = Image.fromarray(GRAY).convert("P")
    out = decode(saved(indexed, "PNG", transparency=int(np.asarray(indexed)[2, 4])), "a.png", 7)
    np.testing.assert_array_equal(out[:, 2, 4], [255, 255, 255])


def test_photo_lying_on_its_side_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the picture has to be turned a quarter clockwise
    upright = photo(64, 64)
    stored = Image.fromarray(np.rot90(upright).copy())
    out = decode(saved(stored, "JPEG", quality=95, exif=exif.tobytes()), "a.jpg", 64)
    np.testing.assert_allclose(out.astype(int), planes(upright).astype(int), atol=12)


@pytest.mark.parametrize(("height", "width"), [(90, 150), (151, 90), (1000, 1300)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_shrinks_the_shorter_side_and_keeps_the_centre(height, width, kind):
    pixels = photo(height, width)
    out = decode(saved(Image.fromarray(pixels), kind), "a", 30)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    centre = pixels[top : top + side, left : left + side]
    step = side / 30
    places = ((np.arange(30) + 0.5) * step).astype(int)
    np.testing.assert_allclose(out.astype(int), planes(centre[places][:, places]).astype(int), atol=6)


def test_shrinking_is_antialiased():
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    out = decode(saved(Image.fromarray(stripes)), "a.png", 32)
    assert np.abs(out[:, 4:-4, 4:-4].astype(int) - 128).max() < 50


def test_exact_shorter_side_is_cut_without_resampling():
    pixels = np.random.default_rng(1).integers(0, 256, (7, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(pixels)), "a.png", 7), planes(pixels[:, 2:9]))


def test_too_small_names_file_sizes_and_ways_out():
    data = saved(Image.fromarray(photo(6, 11)))
    message = re.escape("cats/a.png: 11x6 pixels (width x height), but 7x7 are needed") + r".*smaller size.*enlarge=yes"
    for call in (lambda: decode(data, "cats/a.png", 7), lambda: check_header(data, "cats/a.png", 7, False)):
        with pytest.raises(DataError, match=message):
            call()
    check_header(data, "cats/a.png", 7, True)
    assert decode(data, "cats/a.png", 7, enlarge=True).shape == (3, 7, 7)


def test_enlarging_is_bilinear():
    pixels = np.repeat(np.array([[0, 200], [0, 200]], np.uint8)[:, :, None], 3, axis=2)
    out = decode(saved(Image.fromarray(pixels)), "a.png", 4, enlarge=True)
    np.testing.assert_array_equal(out[0], [[0, 50, 150, 200]] * 4)
    np.testing.assert_array_equal(resize_pixels(planes(pixels)[None], 4)[0], out)


def test_empty_unknown_and_float_files():
    with pytest.raises(DataError, match=r"b/a.jpg: not a readable image \(it has 0 bytes\)"):
        decode(b"", "b/a.jpg", 8)
    with pytest.raises(DataError, match=r"b/a.jpg: not a readable image"):
        decode(b"<html>not found</html>", "b/a.jpg", 8)
    with pytest.raises(DataError, match=r"b/a.tif: 32-bit float pixels"):
        decode(saved(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "b/a.tif", 8)
    with pytest.raises(DataError, match=r"b/a.tif: pixel values -5\.\.9"):
        decode(
            saved(Image.fromarray(np.full((8, 8), 9, np.int32) - np.int32(14) * np.eye(8, dtype=np.int32)), "TIFF"),
            "b/a.tif",
            8,
        )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_truncated_anywhere_is_named_or_changes_nothing(kind):
    data = saved(Image.fromarray(photo(40, 40)).convert("P" if kind == "GIF" else "RGB"), kind)
    whole = decode(data, "x", 40)
    for length in [1, 3, 10, *range(20, len(data), max(1, len(data) // 40)), len(data) - 3, len(data) - 1]:
        out, message = outcome(data[:length], 40)
        if out is None:
            assert message.startswith("dir/photo: ")
        else:  # only padding or an end mark was cut off
            np.testing.assert_array_equal(out, whole, err_msg=f"{kind} cut to {length} of {len(data)} bytes")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.filterwarnings("ignore")
def test_flipped_bits_never_escape_as_another_error(kind):
    data = saved(Image.fromarray(photo(40, 40)), kind)
    for bit in range(0, 8 * len(data), 8 * len(data) // 300):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        out, message = outcome(bytes(damaged), 8)
        assert message.startswith("dir/photo: ") if out is None else out.shape == (3, 8, 8)
