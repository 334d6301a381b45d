"""Max pooling with switches, and alone or with ReLU in the same pass.

Neighbouring windows of stride 2 read every second number of a row, which a vector cannot load. So each row is first split into
its phases, numbers j*sw + b of the padded row for each b, with -inf for the padding:

    stride 2:   0 1 2 3 4 5 6 7   ->   0 2 4 6   |   1 3 5 7

Then place (r, s) of neighbouring windows lies side by side in phase s mod sw of row r, and LANES windows at a time go through
their places, the best so far in one register and its place in another. -inf never beats anything, as padding must not: a
window of nothing but -inf keeps its first place inside the map.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.moves import best_of_window, part
from kernels.numba_cpu.packing import flat

GROUP = 16  # planes that share one piece of memory


def maxpool2d(x, size, stride, pad):
    """x (N,C,H,W) -> y (N,C,P,Q), switches (N,C,P,Q) uint8."""
    return _pool(x, size, stride, pad, False)


def relu_maxpool(x, size, stride, pad):
    """maxpool2d(relu(x)) in one pass, bit for bit."""
    return _pool(x, size, stride, pad, True)


def _pool(x, size, stride, pad, rectify):
    images, channels, height, width = x.shape
    p, q = (height + 2 * pad[0] - size[0]) // stride[0] + 1, (width + 2 * pad[1] - size[1]) // stride[1] + 1
    y = aligned((images, channels, p, q))
    switches = aligned(y.shape, np.uint8)
    if y.size:
        pool_planes(flat(x), images * channels, (height, width), size, stride, pad, (p, q), rectify, flat(y), flat(switches))
    return y, switches


@kernel
def pool_planes(x, planes, shape, size, stride, pad, out, rectify, y, switches):
    """Every plane of flat x into its plane of y and switches."""
    (height, width), (rows, columns), (high, broad) = shape, size, out
    # a row of split: one stretch for each phase, with room for a whole vector beyond the last window
    wide = broad + (columns - 1) // stride[1]
    stretch = (wide + 2 * LANES - 1) // LANES * LANES
    offsets = np.empty(rows * columns, np.int32)
    for r in range(rows):
        for s in range(columns):
            offsets[r * columns + s] = (r * stride[1] + s % stride[1]) * stretch + s // stride[1]
    first_column = np.zeros(stretch, np.uint8)
    for q in range(broad):
        first_column[q] = max(0, pad[1] - q * stride[1])
    # place j of stretch b is number j * stride + b - pad of the row, which exists for begin[b] <= j < end[b]
    begin, end = np.empty(stride[1], np.int64), np.empty(stride[1], np.int64)
    for b in range(stride[1]):
        begin[b] = min(wide, max(0, (pad[1] - b + stride[1] - 1) // stride[1]))
        end[b] = max(begin[b], min(wide, (width + pad[1] - b + stride[1] - 1) // stride[1]))
    for group in prange((planes + GROUP - 1) // GROUP):
        split = np.empty(height * stride[1] * stretch + LANES, np.float32)
        few, few_switches = np.empty(LANES, np.float32), np.empty(LANES, np.uint8)
        last_plane = min(planes, (group + 1) * GROUP)
        for plane in range(group * GROUP, last_plane):
            for h in range(height):
                split_row(
                    x, (plane * height + h) * width, width, stride[1], pad[1], begin, end, wide, stretch, rectify, split, h
                )
            pool_plane(
                split, stride[1] * stretch, height, size, stride, pad, out, offsets, first_column, y, switches,
                plane * high * broad, last_plane * high * broad, few, few_switches
            )  # fmt: skip


@piece
def split_row(x, start, width, sw, pad, begin, end, wide, stretch, rectify, split, row):
    """One row of x into its phases: number j*sw + b - pad to place j of stretch b, -inf where there is none."""
    base = row * sw * stretch
    whole = (width + 2 * LANES - 1) // (2 * LANES) * 2 * LANES
    if sw == 2 and start + whole <= x.size and (pad + 1) // 2 + whole // 2 <= stretch:
        even_at = base + pad % 2 * stretch + pad // 2
        odd_at = base + (pad + 1) % 2 * stretch + (pad + 1) // 2
        for j in range(0, width, 2 * LANES):
            part(x, start + j, split, even_at + j // 2, split, odd_at + j // 2, rectify)
    else:
        j, b = pad // sw, pad % sw
        for w in range(width):
            value = x[start + w]
            if begin[b] <= j < end[b]:
                split[base + b * stretch + j] = np.float32(0) if rectify and value <= 0 else value
            b += 1
            if b == sw:
                j, b = j + 1, 0
    for b in range(sw):
        at = base + b * stretch
        for j in range(begin[b]):
            split[at + j] = -np.inf
        for j in range(end[b], wide):
            split[at + j] = -np.inf


@piece
def pool_plane(split, row, height, size, stride, pad, out, offsets, first_column, y, switches, y_at, y_end, few, few_switches):
    (rows, columns), (high, broad) = size, out
    for p in range(high):
        top = p * stride[0] - pad[0]
        first, last = max(0, -top), min(rows, height - top)
        for q in range(0, broad, LANES):
            at, target = top * row + q, y_at + p * broad + q
            base, count = first * columns, (last - first) * columns
            # a whole vector may run over into the next row or plane, which is written after it, but not over this core's last
            if target + LANES <= y_end:
                best_of_window(split, at, offsets, base, count, first_column, q, base, y, target, switches, target)
            else:
                best_of_window(split, at, offsets, base, count, first_column, q, base, few, 0, few_switches, 0)
                for j in range(min(LANES, broad - q)):
                    y[target + j], switches[target + j] = few[j], few_switches[j]
