"""Unpooling: every value back at the place its switch names, alone or with ReLU in the same pass.

A plane is the work of one thread, which goes through the windows in row-major order: nothing is added to one place by two
threads, and the order of additions is always the same, so scattering is deterministic here and no atomics are needed.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
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
    x = np.empty((*y.shape[:2], *out_size), np.float32)
    if x.size:
        unpool_planes(
            flat(y), flat(switches), x.shape[0] * x.shape[1], y.shape[2:], size, stride, pad, out_size, RULES[collisions],
            rectify, flat(x)
        )  # fmt: skip
    return x


@kernel
def unpool_planes(y, switches, planes, shape, size, stride, pad, out, rule, rectify, x):
    """Every plane of flat y into its plane of flat x."""
    area = out[0] * out[1]
    for plane in prange(planes):
        x[plane * area : (plane + 1) * area] = 0
        unpool_plane(y, switches, plane * shape[0] * shape[1], shape, size[1], stride, pad, out, rule, x, plane * area)
        if rectify:
            for i in range(plane * area, (plane + 1) * area):
                x[i] = np.float32(0) if x[i] <= 0 else x[i]


@piece
def unpool_plane(y, switches, y_at, shape, columns, stride, pad, out, rule, x, x_at):
    named = np.zeros(0 if rule == SUM or rule == LAST else out[0] * out[1], np.int32)
    for p in range(shape[0]):
        for q in range(shape[1]):
            at = y_at + p * shape[1] + q
            r, s = divmod(np.int64(switches[at]), columns)
            h, w = p * stride[0] - pad[0] + r, q * stride[1] - pad[1] + s
            if h < 0 or h >= out[0] or w < 0 or w >= out[1]:
                continue
            place, value = h * out[1] + w, y[at]
            if rule == SUM:
                x[x_at + place] += value
            elif rule == LAST:
                x[x_at + place] = value
            else:
                named[place] += 1
                holder = x[x_at + place]
                if rule == MEAN:
                    x[x_at + place] += value
                elif named[place] == 1 or value > holder or (value != value and holder == holder):
                    x[x_at + place] = value
    if rule == MEAN:
        for i in range(named.size):
            if named[i] > 1:
                x[x_at + i] /= np.float32(named[i])
