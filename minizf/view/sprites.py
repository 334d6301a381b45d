"""Pixels as the bytes of a picture file, for pages that carry their pictures inside them."""

import io

import numpy as np
from PIL import Image


def lossless(pixels: np.ndarray) -> bytes:
    """uint8 (h, w, 3) -> WebP that decodes to the very same pixels."""
    return encode(pixels, format="WEBP", lossless=True, quality=60, method=4)


def lossy(pixels: np.ndarray, quality: int = 88) -> bytes:
    """uint8 (h, w, 3) -> JPEG, colour at full resolution: a patch of 7x7 pixels shown large must keep its colours apart."""
    return encode(pixels, format="JPEG", quality=quality, subsampling=0, optimize=True)


def encode(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, **options)
    return file.getvalue()
