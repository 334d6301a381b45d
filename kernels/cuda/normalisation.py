"""Contrast normalisation across maps and its gradient: launches of `normalisation.cu`."""

from math import prod

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device

FILE = "normalisation.cu"
THREADS = 256
WINDOW = 5  # maps: the size with kernels of its own
ENOUGH_THREADS = 132 * 2048  # what an H200 keeps resident
LEAST_MAPS = 16  # for one thread: it reads four maps more than it writes
MULTIPLE = 8  # AHEAD of the file


def lrn(device: Device, x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Array]:
    """x (N,C,H,W) -> y = x * scale^-beta, and scale."""
    y, scale = device.empty(x.shape), device.empty(x.shape)
    if x.size:
        grid, shape = share_out(x.shape)
        numbers = *shape, np.float32(alpha / size), np.float32(beta), np.float32(k)
        name, window = ("lrn_5", ()) if size == WINDOW else ("lrn_any", reach(size))
        device.launch(FILE, name, grid, (THREADS,), (x, y, scale, *numbers, *window))
    return y, scale


def lrn_grad(device: Device, dy: Array, x: Array, y: Array, scale: Array, size: int, alpha: float, beta: float) -> Array:
    """The gradient for x; y and scale are what lrn returned."""
    dx = device.empty(x.shape)
    if x.size:
        grid, shape = share_out(x.shape)
        numbers = *shape, np.float32(2 * alpha * beta / size), np.float32(beta)
        name, window = ("lrn_grad_5", ()) if size == WINDOW else ("lrn_grad_any", reach(size))
        device.launch(FILE, name, grid, (THREADS,), (dy, x, y, scale, dx, *numbers, *window))
    return dx


def reach(size: int) -> tuple[np.int32, np.int32]:
    """How many maps a window reaches before and after its own."""
    return np.int32(size // 2), np.int32((size - 1) // 2)


def share_out(shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[np.int32, ...]]:
    """The grid, and images, maps, pixels and maps a thread. Few pixels: several threads share the maps of one."""
    images, maps, pixels = shape[0], shape[1], prod(shape[2:])
    threads = images * pixels
    sharing = max(1, min(maps // LEAST_MAPS, -(-ENOUGH_THREADS // threads)))
    maps_each = -(-maps // sharing)
    maps_each = -(-maps_each // MULTIPLE) * MULTIPLE
    grid = -(-threads // THREADS), -(-maps // maps_each)
    return grid, tuple(map(np.int32, (images, maps, pixels, maps_each)))
