"""Putting numbers where the inner loop can stream them: zero borders, filters side by side, tables of tap addresses."""

from functools import lru_cache

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.memory import LINE, aligned
from kernels.numba_cpu.moves import move, prefetch, turn_block

ZEROS = np.zeros(LANES, np.float32)


@kernel
def pad_planes(x, planes, height, width, top, left, tall, wide, out):
    """Each of the planes (height, width) of flat x goes into a plane (tall, wide) of flat out, first pixel at (top, left).

    A negative top or left, or a plane too small, cuts pixels off; everything not covered becomes zero.
    """
    skip, place = max(0, -left), max(0, left)
    count = min(width - skip, wide - place)
    low, high = max(0, top), min(tall, top + height)
    row_vectors, gap_vectors = (count + LANES - 1) // LANES, (wide - count + LANES - 1) // LANES
    beyond = max(row_vectors * LANES, count + gap_vectors * LANES)  # of a row and the gap after it, in whole vectors
    for plane in prange(planes):
        end = (plane + 1) * tall * wide
        if count <= 0 or high <= low:
            clear(out, plane * tall * wide, end, end)
            continue
        row = (plane * tall + low) * wide + place
        clear(out, plane * tall * wide, row, end)
        source = (plane * height + low - top) * width + skip
        # rows for which whole vectors neither read beyond x nor write beyond the plane, which is another core's
        free = min((end - beyond - row) // wide, (x.size - row_vectors * LANES - source) // width) + 1
        free = max(0, min(free, high - low - 1))
        for _ in range(free):
            for j in range(row_vectors):
                move(x, source + j * LANES, out, row + j * LANES)
            for j in range(gap_vectors):
                move(ZEROS, 0, out, row + count + j * LANES)
            source, row = source + width, row + wide
        for i in range(low + free, high):
            copy(x, (plane * height + i - top) * width + skip, count, out, row, end)
            gap = row + count
            row += wide
            clear(out, gap, row if i + 1 < high else end, end)


@piece
def copy(source, source_at, count, target, target_at, target_end):
    """Copy `count` numbers, whole vectors at a time: what is written beyond, up to target_end, the caller overwrites next."""
    beyond = (count + LANES - 1) // LANES * LANES
    if source_at + beyond <= source.size and target_at + beyond <= target_end:
        for j in range(0, count, LANES):
            move(source, source_at + j, target, target_at + j)
    else:
        for j in range(count):
            target[target_at + j] = source[source_at + j]


@piece
def clear(target, first, last, target_end):
    """Zeros from `first` to before `last`, whole vectors at a time as in `copy`."""
    if first + (last - first + LANES - 1) // LANES * LANES <= target_end:
        for j in range(first, last, LANES):
            move(ZEROS, 0, target, j)
    else:
        target[first:last] = 0


def padded(x, top, left, tall, wide, room=0):
    """x (N, C, H, W) -> flat planes (tall, wide) with x at (top, left) among zeros; x itself where nothing changes.

    `room` numbers of any value follow the last plane, for vectors that run over its end.
    """
    n, c, height, width = x.shape
    if (top, left, tall, wide, room) == (0, 0, height, width, 0):
        return flat(x)
    out = aligned((n * c * tall * wide + room,))
    out[out.size - room :] = 0
    pad_planes(flat(x), n * c, height, width, top, left, tall, wide, out)
    return out


def flat(x):
    """x as one row of numbers. One type of array for all kernels, so each is compiled once: read-only arrays are copied."""
    return (x if x.flags.writeable else x.copy()).reshape(-1)


@piece
def fetch(x, taps, channels, plane, first, last):
    """Call what pixels at first .. last read of each channel's plane into the second-level cache, all lines at once.

    The microkernel touches a line here and a line there, which no prefetcher of a processor foresees.
    """
    low = high = taps[0]
    for t in range(taps.size // channels):
        low, high = min(low, taps[t]), max(high, taps[t])
    for c in range(channels):
        for at in range(first + low + c * plane, last + high + c * plane + 1, LINE // 4):
            prefetch(x, at)


@piece
def turn(source, source_at, source_row, rows, columns, target, target_at, target_row):
    """Transpose: target[target_at + j*target_row + i] = source[source_at + i*source_row + j], i < rows, j < columns."""
    if rows < LANES or columns < LANES:
        for j in range(columns):
            for i in range(rows):
                target[target_at + j * target_row + i] = source[source_at + i * source_row + j]
        return
    # the last blocks of a row or column overlap those before, and write the same numbers again
    for first_row in range(0, rows, LANES):
        i = min(first_row, rows - LANES)
        for first_column in range(0, columns, LANES):
            j = min(first_column, columns - LANES)
            turn_block(source, source_at + i * source_row + j, source_row, target, target_at + j * target_row + i, target_row)


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


@lru_cache(maxsize=64)
def addresses(counts, steps):
    """int32 a*steps[0] + b*steps[1] + c*steps[2] for a < counts[0], b < counts[1], c < counts[2], the last running fastest.

    A convolution's taps and pixels; the tables of the last few geometries are kept.
    """
    a, b, c = (np.arange(count, dtype=np.int32) * np.int32(step) for count, step in zip(counts, steps, strict=True))
    return (a[:, None, None] + b[:, None] + c).reshape(-1)


def filter_taps(channels, window, tall, wide):
    """Address of tap (c, r, s) in planes (tall, wide), for all taps in the order of the filter's numbers: (C*R*S,)."""
    return addresses((channels, *window), (tall * wide, wide, 1))
