"""Small pictures set side by side as one array, pixel for pixel, so that nothing is resampled on the way to the file."""

import math

import numpy as np

PADDING = np.array([(236, 236, 238), (216, 216, 220)], np.uint8)  # the two greys of "here the image has ended"


def mosaic(cells: np.ndarray, columns: int, zoom: int = 1, gap: int = 0, paper=(255, 255, 255)) -> np.ndarray:
    """cells uint8 (n, h, w, 3) -> one picture, row by row, each pixel a square of `zoom`, `gap` pixels of paper between."""
    n, h, w, _ = cells.shape
    rows = math.ceil(n / columns)
    high, wide = h * zoom, w * zoom
    canvas = np.empty((rows * (high + gap) - gap, columns * (wide + gap) - gap, 3), np.uint8)
    canvas[:] = paper
    for i, cell in enumerate(enlarge(cells, zoom)):
        top, left = (i // columns) * (high + gap), (i % columns) * (wide + gap)
        canvas[top : top + high, left : left + wide] = cell
    return canvas


def enlarge(pictures: np.ndarray, zoom: int) -> np.ndarray:
    """Each pixel of (..., h, w, 3) as a square of zoom x zoom."""
    return pictures.repeat(zoom, axis=-3).repeat(zoom, axis=-2)


def hatch(pictures: np.ndarray, inside: np.ndarray, step: int = 4) -> np.ndarray:
    """Pictures (..., h, w, 3) with a fine diagonal hatch wherever `inside` (..., h, w) is False: padding is seen as padding."""
    h, w = inside.shape[-2:]
    stripes = PADDING[((np.arange(h)[:, None] + np.arange(w)) // step) % 2]
    return np.where(inside[..., None], pictures, stripes)


def zoom_for(size: int, wanted: int) -> int:
    """The whole number by which `size` pixels come closest to `wanted`, at least 1."""
    return max(1, round(wanted / size))
