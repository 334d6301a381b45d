"""Rectifying and its gradient: launches of `pointwise.cu`."""

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device

FILE = "pointwise.cu"
THREADS = 256
EACH = 8  # numbers a thread, as in the file


def relu(device: Device, x: Array) -> Array:
    """x of any shape -> y: 0.0 where x <= 0, else x."""
    y = device.empty(x.shape)
    if x.size:
        device.launch(FILE, "relu", blocks(x.size), (THREADS,), (x, y, np.int32(x.size)))
    return y


def relu_grad(device: Device, dy: Array, y: Array) -> Array:
    """dy, y of one shape -> dx: dy where y > 0, else 0.0."""
    dx = device.empty(dy.shape)
    if dy.size:
        device.launch(FILE, "relu_grad", blocks(dy.size), (THREADS,), (dy, y, dx, np.int32(dy.size)))
    return dx


def blocks(count: int) -> tuple[int]:
    return (-(-count // (THREADS * EACH)),)
