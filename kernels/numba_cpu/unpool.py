"""Unpooling: every value back at the place its switch names, alone or with ReLU in the same pass.

The usual rule, the sum, goes the way of `unpool_stride2.py` with the usual pools and that of `unpool_sum.py` with most others.
Here are the other rules, and odd strides.
A plane is the work of one thread, which goes through the windows in row-major order: nothing is added to one place by two
threads, and the order of additions is always the same, so scattering is deterministic here and no atomics are needed.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu import unpool_stride2, unpool_sum
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
    planes = x.shape[0] * x.shape[1]
    if collisions == "sum" and planes and unpool_stride2.pays(y.shape[2:], size, stride, pad, tuple(out_size)):
        tables = unpool_stride2.tables(y.shape[2:], size, pad)
        unpool_stride2.unpool_planes(flat(y), flat(switches), planes, y.shape[2:], out_size, *tables, rectify, flat(x))
    elif collisions == "sum" and planes and unpool_sum.pays(y.shape[3], size, stride):
        tables = unpool_sum.tables(y.shape[2:], size, stride, pad, out_size)
        unpool_sum.gather_planes(flat(y), flat(switches), planes, y.shape[2:], stride, out_size, *tables, rectify, flat(x))
    elif planes:
        unpool_planes(
            flat(y), flat(switches), planes, y.shape[2:], size, stride, pad, out_size, RULES[collisions], rectify, flat(x)
        )
    return x


@kernel
def unpool_planes(y, switches, planes, shape, size, stride, pad, out, rule, rectify, x):
    """Every plane of flat y into its plane of flat x."""
    area, windows = out[0] * out[1], shape[0] * shape[1]
    # where each switch points within its window; dividing for every number would take longer than all the rest
    down, right = np.empty(256, np.int64), np.empty(256, np.int64)
    for place in range(256):
        down[place], right[place] = place // size[1], place % size[1]
    for plane in prange(planes):
        target = x[plane * area : (plane + 1) * area]
        source, named = y[plane * windows : (plane + 1) * windows], switches[plane * windows : (plane + 1) * windows]
        target[:] = 0
        count = np.zeros(area, np.int32)
        settle(source, named, shape, stride, pad, out, down, right, rule, target, count)
        if rule == MEAN:
            for i in range(area):
                if count[i] > 1:
                    target[i] /= np.float32(count[i])
        if rectify:
            for i in range(area):
                target[i] = np.float32(0) if target[i] <= 0 else target[i]


@piece
def settle(y, switches, shape, stride, pad, out, down, right, rule, x, named):
    """A plane's windows in row-major order; a switch that names a place outside the map adds nothing."""
    for p in range(shape[0]):
        for q in range(shape[1]):
            at = p * shape[1] + q
            h, w = p * stride[0] - pad[0] + down[switches[at]], q * stride[1] - pad[1] + right[switches[at]]
            if h < 0 or h >= out[0] or w < 0 or w >= out[1]:
                continue
            place, value = h * out[1] + w, y[at]
            named[place] += 1
            holder = x[place]
            if rule == LAST:
                x[place] = value
            elif rule == MAX:
                if named[place] == 1 or value > holder or (value != value and holder == holder):
                    x[place] = value
            else:  # SUM, MEAN
                x[place] += value
