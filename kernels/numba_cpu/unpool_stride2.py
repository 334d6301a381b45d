"""Unpooling by the sum with the usual pools, windows of 3 or 2 at stride 2: four positions for every window.

    windows of 3, padding 1      j     j+1                 an even position lies in window j only, at its tap 1,
                              [0 1 2]                      an odd one in window j at tap 2 and in window j+1 at tap 0
    positions                   . 2j . . .
                                  [0 1 2]                  down the columns it is the same

So a window and its neighbours to the right, below and across are all that its four positions ask for. y and the switches are
read where they lie, LANES neighbouring windows in a vector: a narrow map's vector holds several rows, of several planes even,
for its neighbour below is always one row of windows further in memory. What would be beyond the end of a row or of a plane
gets a switch that names no place. Zipped, the four sums are two stretches of all even and all odd rows:

    y, switches   row 0 | row 1 | ...    ->    even   row 0 | row 2 | ...    ->    x   row 0 | row 1 | row 2 | row 3 | ...
                                               odd    row 1 | row 3 | ...

    size, pad    even position    odd position      border
    3, 1         tap 1            taps 2, 0         none
    2, 0         tap 0            tap 1             none
    2, 1         tap 1            tap 0 of j+1      none
    3, 0         tap 1            taps 2, 0         a window before the first, whose switch names nothing; positions one later
"""

from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES, PLAIN
from kernels.numba_cpu.microkernels import F32, FLOATS, I32, VECTOR, data, element, load, spread, store
from kernels.numba_cpu.moves import BYTE_VECTOR, BYTES, NUMBER_VECTOR, load_bytes, move, move_bytes
from kernels.numba_cpu.unpool_sum import LARGE, deliver

NO_PLACE, NO_TAP = 255, 254  # the switch of a window that is not there; the place of a tap that the window does not have
TAPS = {(3, 1): (1, 2, 0), (3, 0): (1, 2, 0), (2, 0): (0, 1, None), (2, 1): (1, None, 0)}
NUMBERS = 1024  # windows of a band: with their positions they stay in the first-level cache
BANDS = 8  # that share one piece of memory
NOBODY, ZEROS = np.full(LANES, NO_PLACE, np.uint8), np.zeros(LANES, np.float32)


def pays(shape, size, stride, pad, out):
    """Whether this is one of the pools above, and no more than one row and column of x lie behind all windows."""
    if stride != (2, 2) or any(pair not in TAPS for pair in zip(size, pad, strict=True)):
        return False
    return all(length <= 2 * windows + r - 1 - 2 * p for length, windows, r, p in zip(out, shape, size, pad, strict=True))


@lru_cache(maxsize=64)
def tables(shape, size, pad):
    """-> (border above and left; rows of a band; the nine places; what ends a row, what ends a plane, as switches)."""
    border = tuple(int(pair == (3, 0)) for pair in zip(size, pad, strict=True))
    tall, wide = shape[0] + border[0], shape[1] + border[1]
    down, right = (TAPS[pair] for pair in zip(size, pad, strict=True))
    places = [NO_TAP if r is None or s is None else r * size[1] + s for r in down for s in right]
    rows = max(1, NUMBERS // wide)
    period = min(tall, rows + 1)
    window = np.arange((period + rows) * wide + LANES)
    row_ends, plane_ends = window % wide == wide - 1, window // wide % period == period - 1
    ends = ((ended * NO_PLACE).astype(np.uint8) for ended in (row_ends, plane_ends))
    return border, rows, np.array(places, np.uint8), *ends


@kernel
def unpool_planes(y, switches, planes, shape, out, border, rows, places, row_ends, plane_ends, rectify, x):
    """Every plane of flat y, switches into its plane of flat x."""
    tall = shape[0] + border[0]
    share = max(1, BANDS * rows // tall)
    for task in prange((planes + share - 1) // share):
        first, last = task * share, min(planes, (task + 1) * share)
        unpool_rows(y, switches, first * tall, last * tall, shape, out, border, rows, places, row_ends, plane_ends, rectify, x)


@piece
def unpool_rows(y, switches, first, last, shape, out, border, rows, places, row_ends, plane_ends, rectify, x):
    """Rows `first` to `last` - 1 of windows, counted through all planes with their borders: whole planes."""
    tall, wide = shape[0] + border[0], shape[1] + border[1]
    period = min(tall, rows + 1)
    room = (rows * wide + LANES - 1) // LANES * LANES
    values, named = np.empty(room + wide + 2 * LANES, np.float32), np.full(room + wide + 2 * LANES, NO_PLACE, np.uint8)
    odd = 2 * room
    sums = np.empty(2 * odd + 2 * LANES, np.float32)
    pixels = np.empty((3 * rows + 1) * out[1] + 2 * LANES, np.float32)
    target, end = first // tall * out[0] * out[1], last // tall * out[0] * out[1]
    for row in range(first, last, rows):
        count, p, at = min(rows, last - row), row % tall, row * wide
        vectors = (count * wide + LANES - 1) // LANES
        from_y, from_switches = y, switches
        if border[0] + border[1] > 0 or at + vectors * LANES + wide + 1 > y.size:
            lay_rows(y, switches, row, count, shape, border, values, named)
            from_y, from_switches, at = values, named, 0
        ends_at = max(0, p - (tall - period)) * wide
        unpool_windows(from_y, from_switches, at, wide, vectors, places, row_ends, plane_ends, ends_at, rectify, sums, odd)
        # straight to x if it stays in the caches, and if what vectors write beyond the band is still this core's
        most = (2 * count + count // tall + 1) * out[1]
        straight = x.size < LARGE and target + most + LANES <= end
        goal, begin = (x, target) if straight else (pixels, 0)
        written = write_rows(sums, odd, count, p, tall, wide, out, border, goal, begin)
        if not straight:
            deliver(pixels, written, x, target)
        target += written


@piece
def lay_rows(y, switches, row, count, shape, border, values, named):
    """The rows of a band and the one below it, with borders. Vectors run over the end of a row, which the next overwrites."""
    tall, wide = shape[0] + border[0], shape[1] + border[1]
    target = 0
    for k in range(row, row + count + 1):
        plane, p = k // tall, k % tall - border[0]
        source = (plane * shape[0] + p) * shape[1]
        begin = target + border[1]
        if p < 0:
            for q in range(0, wide, LANES):
                move_bytes(NOBODY, 0, named, target + q)
        elif source + shape[1] <= y.size:
            named[target] = NO_PLACE
            q = 0
            while q < shape[1] and source + q + LANES <= y.size:
                move(y, source + q, values, begin + q)
                move_bytes(switches, source + q, named, begin + q)
                q += LANES
            while q < shape[1]:
                values[begin + q], named[begin + q] = y[source + q], switches[source + q]
                q += 1
        target += wide


@piece
def write_rows(sums, odd, count, p, tall, wide, out, border, x, begin):
    """Even and odd rows in turn -> how many numbers. Vectors run over the end of a row, which the next row overwrites."""
    high, broad = out
    behind = broad > 2 * wide - border[1]  # a last column that no window reaches
    target, source = begin, border[1]
    h = 2 * p - border[0]
    for _ in range(count):
        for row in (source, source + odd):
            if 0 <= h < high:
                for w in range(0, broad, LANES):
                    move(sums, row + w, x, target + w)
                target += broad
                if behind:
                    x[target - 1] = 0
            h += 1
        source, p = source + 2 * wide, p + 1
        if p == tall:
            if h < high:
                for w in range(0, broad, LANES):
                    move(ZEROS, 0, x, target + w)
                target += broad
            p, h = 0, -border[0]
    return target - begin


@intrinsic
def vector_windows(typing, y, switches, at, below, vectors, places, row_ends, plane_ends, ends_at, rectify, sums, odd):
    """The four positions of each of `vectors` * LANES windows; same signature as `plain_windows`."""
    i = types.intp
    signature = types.void(FLOATS, BYTES, i, i, i, BYTES, BYTES, BYTES, i, types.boolean, FLOATS, i)

    def write(context, builder, signature, arguments):
        y, switches, at, below, vectors, places, row_ends, plane_ends, ends_at, rectify, sums, odd = data(
            context, builder, signature, arguments
        )
        undefined, lane_0 = ir.Constant(BYTE_VECTOR, ir.Undefined), ir.Constant(NUMBER_VECTOR, [0] * LANES)

        def everywhere(n):
            one = builder.insert_element(undefined, builder.load(element(builder, places, n)), ir.Constant(I32, 0))
            return builder.shuffle_vector(one, undefined, lane_0)

        names = [[everywhere(3 * r + s) for s in range(3)] for r in range(3)]
        zero = ir.Constant(VECTOR, [0.0] * LANES)
        # nothing is <= NaN: so a number is rectified, or left as it is, by the same comparison
        nothing = ir.Constant(F32, float("nan"))
        floor = spread(builder, builder.select(builder.trunc(rectify, ir.IntType(1)), ir.Constant(F32, 0.0), nothing))
        y, switches = element(builder, y, at), element(builder, switches, at)
        plane_ends = element(builder, plane_ends, ends_at)
        with cgutils.for_range(builder, vectors) as loop:
            first = builder.mul(loop.index, ir.Constant(loop.index.type, LANES))
            row_end, plane_end = (load_bytes(builder, element(builder, ends, first)) for ends in (row_ends, plane_ends))
            window = {}
            for down in (0, 1):
                for right in (0, 1):
                    place = (first, below, right) if down else (first, right)
                    switch = load_bytes(builder, element(builder, switches, *place))
                    for beyond, end in ((down, plane_end), (right, row_end)):
                        switch = builder.or_(switch, end) if beyond else switch
                    window[down, right] = load(builder, element(builder, y, *place)), switch

            def total(*terms):
                added = zero
                for neighbour, r, s in terms:
                    value, switch = window[neighbour]
                    named = builder.icmp_unsigned("==", switch, names[r][s])
                    added = builder.select(named, builder.fadd(added, value), added)
                return builder.select(builder.fcmp_ordered("<=", added, floor), zero, added)

            here, right, under, across = (0, 0), (0, 1), (1, 0), (1, 1)
            rows = (
                (sums, total((here, 0, 0)), total((here, 0, 1), (right, 0, 2))),
                (element(builder, sums, odd), total((here, 1, 0), (under, 2, 0)),
                 total((here, 1, 1), (right, 1, 2), (under, 2, 1), (across, 2, 2))),
            )  # fmt: skip
            for target, *pair in rows:
                for half in (0, LANES):
                    lanes = [(n + half) // 2 + n % 2 * LANES for n in range(LANES)]
                    zipped = builder.shuffle_vector(*pair, ir.Constant(NUMBER_VECTOR, lanes))
                    store(builder, zipped, element(builder, target, first, first, half))
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_windows(y, switches, at, below, vectors, places, row_ends, plane_ends, ends_at, rectify, sums, odd):
    """Sums of what windows at + j and their neighbours name, for j < vectors * LANES; `below` is how far the next row is.

    sums[a*odd + 2*j + b] is position (a, b) of the four, a, b < 2. It adds up, in this order, the windows at + j + d*below + e
    for (d, e) = (0, 0), (0, 1), (1, 0), (1, 1), d <= a, e <= b, whose switch is entry (a + d, b + e) of the table `places`
    (3, 3). Before it is asked, a switch is or-ed with row_ends[j] if e, and with plane_ends[ends_at + j] if d. Rectified if
    asked for.
    """
    for j in range(vectors * LANES):
        for a in range(2):
            for b in range(2):
                total = np.float32(0)
                for d in range(a + 1):
                    for e in range(b + 1):
                        window = at + j + d * below + e
                        switch = switches[window] | (row_ends[j] if e else 0) | (plane_ends[ends_at + j] if d else 0)
                        if switch == places[3 * (a + d) + b + e]:
                            total += y[window]
                total = np.float32(0) if rectify and total <= 0 else total
                sums[a * odd + 2 * j + b] = total


unpool_windows = plain_windows if PLAIN else vector_windows
