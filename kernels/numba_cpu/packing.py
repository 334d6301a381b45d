"""Putting numbers where the inner loop can stream them: zero borders, filters side by side, tables of tap addresses."""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.microkernels import turn_block


@kernel
def pad_planes(x, planes, height, width, top, left, tall, wide, out):
    """Each of the planes (height, width) of flat x goes into a plane (tall, wide) of flat out, first pixel at (top, left).

    A negative top or left, or a plane too small, cuts pixels off; everything not covered becomes zero.
    """
    first, last = max(0, left), min(wide, left + width)
    for plane in prange(planes):
        for i in range(tall):
            row = (plane * tall + i) * wide
            h = i - top
            if h < 0 or h >= height or last <= first:
                out[row : row + wide] = 0
                continue
            source = (plane * height + h) * width - left
            out[row : row + first] = 0
            for j in range(first, last):
                out[row + j] = x[source + j]
            out[row + last : row + wide] = 0


def padded(x, top, left, tall, wide):
    """x (N, C, H, W) -> flat planes (tall, wide) with x at (top, left) among zeros; x itself where nothing changes."""
    n, c, height, width = x.shape
    if (top, left, tall, wide) == (0, 0, height, width):
        return flat(x)
    out = np.empty(n * c * tall * wide, np.float32)
    pad_planes(flat(x), n * c, height, width, top, left, tall, wide, out)
    return out


def flat(x):
    """x as one row of numbers. One type of array for all kernels, so each is compiled once: read-only arrays are copied."""
    return (x if x.flags.writeable else x.copy()).reshape(-1)


@piece
def turn(source, source_at, source_row, rows, columns, target, target_at, target_row):
    """Transpose: target[target_at + j*target_row + i] = source[source_at + i*source_row + j], i < rows, j < columns."""
    whole_rows, whole_columns = rows - rows % LANES, columns - columns % LANES
    for i in range(0, whole_rows, LANES):
        for j in range(0, whole_columns, LANES):
            turn_block(source, source_at + i * source_row + j, source_row, target, target_at + j * target_row + i, target_row)
        for j in range(whole_columns, columns):
            for m in range(i, i + LANES):
                target[target_at + j * target_row + m] = source[source_at + m * source_row + j]
    for j in range(columns):
        for i in range(whole_rows, rows):
            target[target_at + j * target_row + i] = source[source_at + i * source_row + j]


@kernel
def pack_rows(matrix, rows, columns, width, panels):
    """Matrix (rows, columns) -> panels (ceil(rows / width), columns, width): one number of `width` rows side by side.

    The last panel is filled up with zeros. With filters as rows and taps as columns a panel is what `outer` reads as b.
    """
    for panel in prange((rows + width - 1) // width):
        first = panel * width
        present = min(width, rows - first)
        start = panel * columns * width
        if present < width:
            panels[start : start + columns * width] = 0
        turn(matrix, first * columns, columns, present, columns, panels, start, width)


def filter_taps(channels, window, tall, wide):
    """Address of tap (c, r, s) in planes (tall, wide), for all taps in the order of the filter's numbers: (C*R*S,)."""
    c, r, s = np.ogrid[:channels, : window[0], : window[1]]
    return (c * (tall * wide) + r * wide + s).reshape(-1)
