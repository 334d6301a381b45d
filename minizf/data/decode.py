"""From the bytes of an image file to uint8 (3, size, size), with Pillow.

Every kind of image becomes RGB: gray and 1-bit are repeated, palettes looked up, CMYK converted, 16-bit gray divided by 257 (so
0..65535 becomes 0..255), transparency laid over white; of an animation the first frame. A photo the camera stored lying on its
side (EXIF) is turned upright.

Size (paper, section 3): the shorter side becomes `size`, then the centre square is cut out. Shrinking is antialiased bicubic,
enlarging bilinear; an image already size x size is taken as it is.
"""

import io
from pathlib import Path

import numpy as np

from minizf.data.dataset import DataError

SIXTEEN_BIT = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
# A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, much faster, as long as this much more than `size` is left to shrink.
JPEG_MARGIN = 2


def decode(data: bytes, where: str, size: int, enlarge: bool = False) -> np.ndarray:
    """The image in `data` as uint8 (3, size, size).

    DataError, naming `where`: not an image, damaged or truncated, 32-bit pixels, or smaller than `size` unless `enlarge`.
    """
    from PIL import Image, UnidentifiedImageError  # 40 ms to import: only a reader that decodes pays

    try:
        with Image.open(io.BytesIO(data)) as image:
            check_size(image.size, where, size, enlarge)
            image.draft(None, (JPEG_MARGIN * size, JPEG_MARGIN * size))
            return np.ascontiguousarray(np.asarray(square(_rgb(image, where), size)).transpose(2, 0, 1))
    except DataError:
        raise
    except UnidentifiedImageError as error:
        what = "damaged, or of a kind that Pillow does not know" if data else "it has 0 bytes"
        raise DataError(f"{where}: not a readable image ({what}); remove or replace it") from error
    except Exception as error:  # damaged bytes make Pillow raise almost anything: struct.error, SyntaxError, IndexError ...
        raise DataError(f"{where}: damaged or truncated image ({error}); remove or replace it") from error


def decode_file(path: Path, size: int, channels: int, enlarge: bool = False) -> np.ndarray:
    """The image in a file as uint8 (channels, size, size), channels 3, or 1 for its luminance. Errors as `decode`."""
    pixels = decode(path.read_bytes(), str(path), size, enlarge)
    if channels == 3:
        return pixels
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's convert("L")
    return np.rint(np.tensordot(weights, pixels, 1)).astype(np.uint8)[None]


def check_header(data: bytes, where: str, size: int, enlarge: bool) -> None:
    """Raise DataError as `decode` would for what the first bytes already tell: not an image, or too small."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            check_size(image.size, where, size, enlarge)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{where}: not a readable image (damaged, or of an unknown kind); remove or replace it") from error


def check_size(image_size: tuple[int, int], where: str, size: int, enlarge: bool) -> None:
    """image_size: (width, height). DataError if the shorter side is under `size` and may not be enlarged."""
    if min(image_size) < size and not enlarge:
        raise DataError(
            f"{where}: {image_size[0]}x{image_size[1]} pixels (width x height), but {size}x{size} are needed; ask for a "
            f"smaller size, remove the image, or allow enlarging (folder:PATH,enlarge=yes, or `minizf look --enlarge`)"
        )


def square(image, size: int):
    """A Pillow image with its shorter side brought to `size` and its centre square cut out: size x size."""
    from PIL.Image import Resampling

    width, height = image.size
    if width == height == size:
        return image
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    filter_ = Resampling.BICUBIC if side >= size else Resampling.BILINEAR
    return image.resize((size, size), filter_, box=(left, top, left + side, top + side))


def resize_pixels(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 (n, C, H, W), C = 1 or 3, by the same rule -> uint8 (n, C, size, size)."""
    from PIL import Image

    out = np.empty((*pixels.shape[:2], size, size), np.uint8)
    for n, image in enumerate(pixels):
        for c, plane in enumerate(image):
            out[n, c] = np.asarray(square(Image.fromarray(plane), size))
    return out


def _rgb(image, where: str):
    """A Pillow image of any mode -> mode RGB, upright."""
    from PIL import Image, ImageOps

    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BIT:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{where}: pixel values {values.min()}..{values.max()}, expected 0..65535; save it with 8 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{where}: 32-bit float pixels, whose range is not known; save it with 8 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
