"""Unpooling by the sum with any windows, in gather form: every position adds up what the windows that cover it give.

    windows 3x3, stride 2, along a row:      q-1  q   q+1          position 2j+1 lies in window j only, position 2j in two
                                            [- - -]
                                                [- - -]            so positions fall into phases (phases.py); in one phase,
    positions   . . 2j . . . .                      [- - -]        neighbours ask neighbouring windows for the same place

So LANES positions of a phase at once: their windows' values where the switch is that place, added up in row-major order of the
windows. Several planes lie one after the other with a border around each whose switches name no place, so that vectors run over
the ends of rows and planes. At the end even and odd columns are zipped together.
"""

from functools import lru_cache

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.moves import SUMMED, move, move_bytes, stream, sum_named, zip_halves
from kernels.numba_cpu.phases import phases, reach

NO_PLACE = 255
NOBODY = np.full(LANES, NO_PLACE, np.uint8)
LARGE = 1 << 22  # numbers that do not stay in the caches
NUMBERS = 1024  # of a group of planes with their borders: with all phases' sums they stay in the first-level cache
TOGETHER = SUMMED * LANES
GROUPS = 8  # that share one piece of memory


def pays(windows, size, stride):
    """Whether a number is left that names no place, and `windows` in a row go far to fill vectors in each of few phases."""
    return 2 * windows >= LANES and size[0] * size[1] < NO_PLACE and stride[0] <= size[0] and stride[1] <= min(2, size[1])


@lru_cache(maxsize=64)
def tables(shape, size, stride, pad, out):
    """-> (first tap and number of taps of each phase; window offset of each tap; its place; borders top, left, tall, wide)."""
    rows, columns = phases(out[0], size[0], stride[0], pad[0]), phases(out[1], size[1], stride[1], pad[1])
    (top, tall), (left, wide) = reach(rows, shape[0]), reach(columns, shape[1])
    starts, offsets, places = [], [], []
    for _, _, r, p in rows:
        for _, _, s, q in columns:
            starts.append((len(offsets), p.size * q.size))
            falling_r, falling_s = r + stride[0] * np.arange(p.size)[::-1], s + stride[1] * np.arange(q.size)[::-1]
            offsets += ((p[:, None] + top) * wide + q + left).ravel().tolist()
            places += (falling_r[:, None] * size[1] + falling_s).ravel().tolist()
    return np.array(starts), np.array(offsets, np.int32), np.array(places, np.uint8), (top, left, tall, wide)


@kernel
def gather_planes(y, switches, planes, shape, stride, out, starts, offsets, places, border, rectify, x):
    """Every plane of flat y, switches into its plane of flat x, by the tables above."""
    top, left, tall, wide = border
    out_area = out[0] * out[1]
    area, most = tall * wide, max(1, NUMBERS // (tall * wide))
    row_phases, column_phases = min(stride[0], out[0]), min(stride[1], out[1])
    # neighbours of the same phase that the last row and column leave over are computed in vain and not read
    length = (most * area + TOGETHER - 1) // TOGETHER * TOGETHER
    room = length + offsets.max() + 2 * LANES
    groups = (planes + most - 1) // most
    for task in prange((groups + GROUPS - 1) // GROUPS):
        values, named = np.empty(room, np.float32), np.full(room, NO_PLACE, np.uint8)
        pixels = np.empty(most * out_area + 2 * LANES, np.float32)
        sums = np.empty(row_phases * column_phases * length + LANES, np.float32)
        for group in range(task * GROUPS, min(groups, (task + 1) * GROUPS)):
            first, count = group * most, min(most, planes - group * most)
            for plane in range(count):
                source, target = (first + plane) * shape[0] * shape[1], plane * area + top * wide + left
                lay_plane(y, switches, source, shape, wide, values, named, target)
            for phase in range(row_phases * column_phases):
                begin, taps, at = starts[phase, 0], starts[phase, 1], 0
                while at < count * area:
                    sum_named(values, named, at, offsets, places, begin, taps, sums, phase * length + at)
                    at += TOGETHER
            for plane in range(count):
                write_plane(sums, plane * area, length, wide, row_phases, column_phases, out, rectify, pixels, plane * out_area)
            deliver(pixels, count * out_area, x, first * out_area)


@piece
def lay_plane(y, switches, source, shape, wide, values, named, target):
    """A plane of windows between its borders. Vectors run over the end of a row, and what they spoil is written again."""
    high, broad = shape
    # rows whose last vector does not read beyond the end of the arrays
    free = max(0, min(high, (y.size - source - (broad + LANES - 1) // LANES * LANES) // broad + 1))
    for _ in range(free):
        q = 0
        while q < broad:
            move(y, source + q, values, target + q)
            move_bytes(switches, source + q, named, target + q)
            q += LANES
        q = broad
        while q < wide + LANES:
            move_bytes(NOBODY, 0, named, target + q)
            q += LANES
        source, target = source + broad, target + wide
    for _ in range(high - free):
        for q in range(broad):
            values[target + q], named[target + q] = y[source + q], switches[source + q]
        named[target + broad : target + wide] = NO_PLACE
        source, target = source + broad, target + wide


@piece
def write_plane(sums, source, length, wide, row_phases, column_phases, out, rectify, pixels, target):
    """A plane of positions from its phases. Vectors run over the end of a row, which the next row overwrites."""
    high, broad = out
    phase, a = 0, 0
    for _ in range(high):
        first = source + phase
        if column_phases == 2:
            w = 0
            while w < broad:
                zip_halves(sums, first + w // 2, sums, first + length + w // 2, pixels, target + w, rectify)
                w += 2 * LANES
        else:
            for w in range(broad):
                value = sums[first + w]
                pixels[target + w] = np.float32(0) if rectify and value <= 0 else value
        target, phase, a = target + broad, phase + column_phases * length, a + 1
        if a == row_phases:
            source, phase, a = source + wide, 0, 0


@piece
def deliver(pixels, count, x, target):
    """The first `count` numbers to x: past the caches if x is too large to stay there anyway."""
    head = min(count, -target % LANES)
    for i in range(head):
        x[target + i] = pixels[i]
    vectors = (count - head) // LANES
    if x.size >= LARGE:
        stream(pixels, head, x, target + head, vectors)
    else:
        i = head
        while i < head + vectors * LANES:
            move(pixels, i, x, target + i)
            i += LANES
    for i in range(head + vectors * LANES, count):
        x[target + i] = pixels[i]
