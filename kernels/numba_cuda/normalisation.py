"""Contrast normalisation across maps, and its gradient.

One thread for each number. Its neighbours are at the same pixel of `size` maps, a plane apart, so neighbouring threads read
neighbouring numbers, and what one thread reads its neighbours across maps find in the cache. A sum of its own for each number,
instead of one that slides along the maps, loses nothing by subtraction and lets one NaN harm only those that see it.
"""

import math

from numba import float32, int32

from kernels.backends import Array
from kernels.numba_cuda.bounds import larger, smaller
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda


def normalise(x, y, scale, maps, plane, size, alpha_over_size, beta, k):
    at = cuda.grid(1)
    if at >= x.size:
        return
    c = int32(at // plane % maps)
    squares = float32(0)
    for d in range(larger(0, c - size // 2), smaller(maps, c + (size - 1) // 2 + 1)):
        value = x[int32(at + (d - c) * plane)]
        squares += value * value
    total = k + alpha_over_size * squares
    scale[at] = total
    y[at] = x[at] * math.pow(total, -beta)


def normalise_gradient(dy, x, y, scale, dx, maps, plane, size, factor, beta):
    """`factor` = 2 * alpha * beta / size. The maps c whose window holds d lie the other way round about d."""
    at = cuda.grid(1)
    if at >= dx.size:
        return
    d = int32(at // plane % maps)
    through_scale = float32(0)
    for c in range(larger(0, d - (size - 1) // 2), smaller(maps, d + size // 2 + 1)):
        other = int32(at + (c - d) * plane)
        through_scale += dy[other] * y[other] / scale[other]
    dx[at] = dy[at] * math.pow(scale[at], -beta) - factor * x[at] * through_scale


def lrn(device: Device, x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Array]:
    y, scale = device.empty(x.shape), device.empty(x.shape)
    shape = x.shape[1], x.shape[2] * x.shape[3], size
    arrays = x.reshape(-1), y.reshape(-1), scale.reshape(-1)
    device.elementwise(normalise, x.size, *arrays, *shape, alpha / size, beta, k)
    return y, scale


def lrn_grad(device: Device, dy: Array, x: Array, y: Array, scale: Array, size: int, alpha: float, beta: float) -> Array:
    dx = device.empty(dy.shape)
    shape = x.shape[1], x.shape[2] * x.shape[3], size
    arrays = (array.reshape(-1) for array in (dy, x, y, scale, dx))
    device.elementwise(normalise_gradient, dx.size, *arrays, *shape, 2 * alpha * beta / size, beta)
    return dx
