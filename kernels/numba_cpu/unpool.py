"""Unpooling: every value back at the place its switch names, alone or with ReLU in the same pass.

A plane is the work of one thread, which goes through the windows in row-major order: nothing is added to one place by two
threads, and the order of additions is always the same, so scattering is deterministic here and no atomics are needed.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import flat

RULES = {"sum": 0, "max": 1, "mean": 2, "last": 3}
SUM, MAX, MEAN, LAST = RULES.values()


def unpool2d(y, switches, size, stride, pad, out_size, collisions="sum"):
    """y, switches (N,C,P,Q) -> x (N,C,H,W), zero where no switch points."""
    return _unpool(y, switches, size, stride, pad, out_size, collisions, False)


def unpool_relu(y, switches, size, stride, pad, out_size, collisions="sum"):
    """relu(unpool2d(...)) in one pass, bit for bit."""
    return _unpool(y, switches, size, stride, pad, out_size, collisions, True)


def _unpool(y, switches, size, stride, pad, out_size, collisions, rectify):
    x = aligned((*y.shape[:2], *out_size))
    if x.size:
        unpool_planes(
            flat(y), flat(switches), x.shape[0] * x.shape[1], y.shape[2:], size, stride, pad, out_size, RULES[collisions],
            rectify, flat(x)
        )  # fmt: skip
    return x


@kernel
def unpool_planes(y, switches, planes, shape, size, stride, pad, out, rule, rectify, x):
    """Every plane of flat y into its plane of flat x."""
    area, windows = out[0] * out[1], shape[0] * shape[1]
    # where each switch points within its window; dividing for every number would take longer than all the rest
    down, right, beside = np.empty(256, np.int64), np.empty(256, np.int64), np.empty(256, np.int64)
    for place in range(256):
        down[place], right[place] = place // size[1], place % size[1]
        beside[place] = down[place] * out[1] + right[place]
    nothing = np.empty(0, np.int32)
    for plane in prange(planes):
        target = x[plane * area : (plane + 1) * area]
        source, named = y[plane * windows : (plane + 1) * windows], switches[plane * windows : (plane + 1) * windows]
        target[:] = 0
        if rule == SUM:
            sum_plane(source, named, shape, size, stride, pad, out, down, right, beside, nothing, target)
        else:
            count = np.zeros(area, np.int32)
            for p in range(shape[0]):
                settle(source, named, p, 0, shape, stride, pad, out, down, right, rule, target, count, shape[1])
            if rule == MEAN:
                for i in range(area):
                    if count[i] > 1:
                        target[i] /= np.float32(count[i])
        if rectify:
            for i in range(area):
                target[i] = np.float32(0) if target[i] <= 0 else target[i]


@piece
def sum_plane(y, switches, shape, size, stride, pad, out, down, right, beside, nothing, x):
    """The usual rule. Windows that lie inside the map, nearly all, need no look at where it ends."""
    first = min(shape[1], (pad[1] + stride[1] - 1) // stride[1])
    last = max(first, min(shape[1], (out[1] - size[1] + pad[1]) // stride[1] + 1))
    for p in range(shape[0]):
        top = p * stride[0] - pad[0]
        inside = top >= 0 and top + size[0] <= out[0]
        start, end = (first, last) if inside else (shape[1], shape[1])
        settle(y, switches, p, 0, shape, stride, pad, out, down, right, SUM, x, nothing, start)
        for q in range(start, end):
            at = p * shape[1] + q
            x[top * out[1] + q * stride[1] - pad[1] + beside[switches[at]]] += y[at]
        settle(y, switches, p, end, shape, stride, pad, out, down, right, SUM, x, nothing, shape[1])


@piece
def settle(y, switches, p, first, shape, stride, pad, out, down, right, rule, x, named, last):
    """Windows first .. last-1 of row p by any rule; a switch that names a place outside the map adds nothing."""
    for q in range(first, last):
        at = p * shape[1] + q
        h, w = p * stride[0] - pad[0] + down[switches[at]], q * stride[1] - pad[1] + right[switches[at]]
        if h < 0 or h >= out[0] or w < 0 or w >= out[1]:
            continue
        place, value = h * out[1] + w, y[at]
        if rule == SUM:
            x[place] += value
        elif rule == LAST:
            x[place] = value
        else:
            named[place] += 1
            holder = x[place]
            if rule == MEAN:
                x[place] += value
            elif named[place] == 1 or value > holder or (value != value and holder == holder):
                x[place] = value
