"""Unpooling in gather form: every position asks the windows that cover it, so no two threads write to one place.

`unpooled` is a device function of its own because the deconvnet's step unpools inside the loads of its convolution.
"""

import numpy as np
from numba import float32, int32

from kernels.backends import Array
from kernels.cuda.geometry import Sides
from kernels.numba_cuda.bounds import larger, smaller
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda

SUM, MAX, MEAN, LAST = range(4)
RULES = {"sum": SUM, "max": MAX, "mean": MEAN, "last": LAST}


@cuda.jit(device=True)
def unpooled(y, switches, pooling, plane, i, j, rule):
    """What position (i, j) of map `plane` (= n * C + c) gets. y, switches flat (N*C*P*Q,), `pooling` from `pooling_table`."""
    size_h, size_w, stride_h, stride_w = pooling[0], pooling[1], pooling[2], pooling[3]
    top, left = int32(i + pooling[4]), int32(j + pooling[5])  # in the padded map
    height, width = pooling[6], pooling[7]
    start = int32(plane * height * width)
    result = float32(0)
    named = int32(0)
    for p in range(larger(0, (top - size_h + stride_h) // stride_h), smaller(height, top // stride_h + 1)):
        for q in range(larger(0, (left - size_w + stride_w) // stride_w), smaller(width, left // stride_w + 1)):
            at = int32(start + p * width + q)
            if int32(switches[at]) == (top - p * stride_h) * size_w + left - q * stride_w:
                value = y[at]
                if rule in (SUM, MEAN):
                    result += value
                elif rule == LAST or named == 0 or value > result or (value != value and result == result):
                    result = value
                named += int32(1)
    if rule == MEAN and named > 0:
        result /= float32(named)
    return result


def unpool(y, switches, pooling, x, height, width, rule, rectify):
    """One thread for each position of x (N*C*H*W,)."""
    at = cuda.grid(1)
    if at < x.size:
        plane, place = at // int32(height * width), at % int32(height * width)
        value = unpooled(y, switches, pooling, int32(plane), int32(place // width), int32(place % width), rule)
        if rectify and value <= float32(0):
            value = float32(0)
        x[at] = value


def unpool2d(
    device: Device,
    y: Array,
    switches: Array,
    size: Sides,
    stride: Sides,
    pad: Sides,
    out_size: Sides,
    collisions: str,
    rectify: bool = False,
) -> Array:
    """y, switches (N,C,P,Q) -> x (N,C,*out_size), rectified on the way out if asked."""
    x = device.empty((*y.shape[:2], *out_size))
    pooling = pooling_table(device, y.shape[2:], size, stride, pad)
    flat = y.reshape(-1), switches.reshape(-1), pooling, x.reshape(-1)
    device.elementwise(unpool, x.size, *flat, *out_size, RULES[collisions], rectify)
    return x


def pooling_table(device: Device, pooled_size: Sides, size: Sides, stride: Sides, pad: Sides) -> Array:
    """The eight numbers of a pooling on the device: window, stride, padding, and the size of the pooled maps."""
    numbers = (*size, *stride, *pad, *pooled_size)
    return device.table(("pooling", numbers), lambda: np.array(numbers, np.int32))
