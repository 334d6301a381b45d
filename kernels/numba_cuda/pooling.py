"""Max pooling that remembers, in one byte, which place of its window won."""

import numpy as np
from numba import float32, int32

from kernels.backends import Array
from kernels.cuda.geometry import Sides
from kernels.numba_cuda.bounds import larger, smaller
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda
from kernels.sizes import pool_output_size


def max_pool(
    x, y, switches, height, width, out_height, out_width, size_h, size_w, stride_h, stride_w, pad_h, pad_w, rectify
):  # fmt: skip
    """One thread for each window. The first of equals wins, padding never, and NaN beats every number."""
    at = cuda.grid(1)
    if at >= y.size:
        return
    plane, place = at // int32(out_height * out_width), at % int32(out_height * out_width)
    top = int32(place // out_width * stride_h - pad_h)
    left = int32(place % out_width * stride_w - pad_w)
    start = int32(plane * height * width)
    best = float32(0)
    winner = int32(-1)
    for r in range(larger(0, -top), smaller(size_h, height - top)):
        for s in range(larger(0, -left), smaller(size_w, width - left)):
            value = x[int32(start + (top + r) * width + left + s)]
            if rectify and value <= float32(0):
                value = float32(0)
            if winner < 0 or value > best or (value != value and best == best):
                best = value
                winner = int32(r * size_w + s)
    y[at] = best
    switches[at] = winner


def maxpool2d(device: Device, x: Array, size: Sides, stride: Sides, pad: Sides, rectify: bool = False) -> tuple[Array, Array]:
    """x (N,C,H,W) -> y (N,C,P,Q), switches (N,C,P,Q) uint8: of relu(x) if `rectify`."""
    out = pool_output_size(x.shape[2:], size, stride, pad)
    y, switches = device.empty((*x.shape[:2], *out)), device.empty((*x.shape[:2], *out), np.uint8)
    numbers = (*x.shape[2:], *out, *size, *stride, *pad)
    device.elementwise(max_pool, y.size, x.reshape(-1), y.reshape(-1), switches.reshape(-1), *numbers, rectify)
    return y, switches
