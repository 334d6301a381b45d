"""The rectifier and its gradient, one number for each thread."""

from numba import float32

from kernels.backends import Array
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda


def rectifier(x, y):
    at = cuda.grid(1)
    if at < x.size:
        value = x[at]
        if value <= float32(0):  # false for NaN, which stays
            value = float32(0)
        y[at] = value


def rectifier_gradient(dy, y, dx):
    at = cuda.grid(1)
    if at < dx.size:
        value = float32(0)
        if y[at] > float32(0):
            value = dy[at]
        dx[at] = value


def relu(device: Device, x: Array) -> Array:
    y = device.empty(x.shape)
    device.elementwise(rectifier, x.size, x.reshape(-1), y.reshape(-1))
    return y


def relu_grad(device: Device, dy: Array, y: Array) -> Array:
    dx = device.empty(dy.shape)
    device.elementwise(rectifier_gradient, dy.size, dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx
