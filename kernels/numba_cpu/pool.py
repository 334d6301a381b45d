"""Max pooling with switches, and alone or with ReLU in the same pass.

A window with a stride reads every second (third ...) number of a row, which vectors cannot. So each plane is first split into
its phases, numbers i*sh + a, j*sw + b of the padded plane for each (a, b), with -inf for the padding:

    stride 2:   0 1 2 3 4 5 6 7   ->   0 2 4 6   |   1 3 5 7

Then place (r, s) of all windows lies side by side in phase (r mod sh, s mod sw), and one long loop compares it with the best so
far. -inf never beats anything, as padding must not: a window of nothing but -inf keeps its first place inside the map.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.packing import flat


def maxpool2d(x, size, stride, pad):
    """x (N,C,H,W) -> y (N,C,P,Q), switches (N,C,P,Q) uint8."""
    return _pool(x, size, stride, pad, False)


def relu_maxpool(x, size, stride, pad):
    """maxpool2d(relu(x)) in one pass, bit for bit."""
    return _pool(x, size, stride, pad, True)


def _pool(x, size, stride, pad, rectify):
    images, channels, height, width = x.shape
    p, q = (height + 2 * pad[0] - size[0]) // stride[0] + 1, (width + 2 * pad[1] - size[1]) // stride[1] + 1
    y = np.empty((images, channels, p, q), np.float32)
    switches = np.empty(y.shape, np.uint8)
    if y.size:
        pool_planes(flat(x), images * channels, (height, width), size, stride, pad, (p, q), rectify, flat(y), flat(switches))
    return y, switches


@kernel
def pool_planes(x, planes, shape, size, stride, pad, out, rectify, y, switches):
    """Every plane of flat x into its plane of y and switches."""
    for plane in prange(planes):
        pool_plane(x, plane * shape[0] * shape[1], shape, size, stride, pad, out, rectify, y, switches, plane * out[0] * out[1])


@piece
def pool_plane(x, x_at, shape, size, stride, pad, out, rectify, y, switches, y_at):
    (rows, columns), (sh, sw), (high, broad) = size, stride, out
    tall, wide = high + (rows - 1) // sh, broad + (columns - 1) // sw
    split = np.empty(sh * sw * tall * wide, np.float32)
    split_phases(x, x_at, shape, stride, pad, tall, wide, rectify, split)
    length = (high - 1) * wide + broad
    best, winner = np.full(length, -np.inf, np.float32), np.empty(length, np.uint8)
    for p in range(high):
        first_row = max(0, pad[0] - p * sh) * columns
        for q in range(min(wide, length - p * wide)):
            winner[p * wide + q] = first_row + max(0, pad[1] - q * sw)
    for r in range(rows):
        for s in range(columns):
            at = (r % sh * sw + s % sw) * tall * wide + r // sh * wide + s // sw
            place = np.uint8(r * columns + s)
            for i in range(length):
                value, holder = split[at + i], best[i]
                better = (value > holder) | ((value != value) & (holder == holder))
                best[i] = value if better else holder
                winner[i] = place if better else winner[i]
    for p in range(high):
        for q in range(broad):
            y[y_at + p * broad + q] = best[p * wide + q]
            switches[y_at + p * broad + q] = winner[p * wide + q]


@piece
def split_phases(x, x_at, shape, stride, pad, tall, wide, rectify, split):
    """split (sh, sw, tall, wide): number i*sh + a - ph, j*sw + b - pw of the plane, -inf outside it."""
    (height, width), (sh, sw) = shape, stride
    for a in range(sh):
        for i in range(tall):
            h = i * sh + a - pad[0]
            for b in range(sw):
                row = ((a * sw + b) * tall + i) * wide
                if h < 0 or h >= height:
                    split[row : row + wide] = -np.inf
                    continue
                first = min(wide, max(0, (pad[1] - b + sw - 1) // sw))
                last = max(first, min(wide, (width + pad[1] - b + sw - 1) // sw))
                start = x_at + h * width + b - pad[1]
                split[row : row + first] = -np.inf
                for j in range(first, last):
                    value = x[start + j * sw]
                    split[row + j] = np.float32(0) if rectify and value <= 0 else value
                split[row + last : row + wide] = -np.inf
