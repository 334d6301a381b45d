"""What a training step does beside its layers: the loss, the bias gradient, the update, the filters' renormalisation.

Where many numbers become one, a block sums them: each thread every so many, then pairs of threads, always in the same order.
"""

import math
from functools import cache

import numpy as np
from numba import float32, int32

from kernels.backends import Array
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda


@cache
def row_kernels(threads: int):
    """(softmax, bias gradient, renormalisation), each one block of `threads` (a power of two) for one row."""

    @cuda.jit(device=True)
    def block_sum(value, thread):
        """The sum of every thread's value, for every thread."""
        values = cuda.shared.array(threads, float32)
        values[thread] = value
        cuda.syncthreads()
        half = threads // 2
        while half > 0:
            if thread < half:
                values[thread] += values[thread + half]
            cuda.syncthreads()
            half //= 2
        total = values[0]
        cuda.syncthreads()  # before the next sum, which uses the same memory
        return total

    @cuda.jit(device=True)
    def block_max(value, thread):
        values = cuda.shared.array(threads, float32)
        values[thread] = value
        cuda.syncthreads()
        half = threads // 2
        while half > 0:
            if thread < half and values[thread + half] > values[thread]:
                values[thread] = values[thread + half]
            cuda.syncthreads()
            half //= 2
        largest = values[0]
        cuda.syncthreads()
        return largest

    def softmax_row(logits, labels, losses, dlogits, classes, images):
        thread, start = cuda.threadIdx.x, int32(cuda.blockIdx.x * classes)
        largest = float32(-math.inf)
        for g in range(thread, classes, threads):
            if logits[start + g] > largest:
                largest = logits[start + g]
        largest = block_max(largest, thread)
        total = float32(0)
        for g in range(thread, classes, threads):
            total += math.exp(logits[start + g] - largest)
        total = block_sum(total, thread)
        label = labels[cuda.blockIdx.x]
        for g in range(thread, classes, threads):
            p = math.exp(logits[start + g] - largest) / total
            if g == label:
                losses[cuda.blockIdx.x] = math.log(total) - (logits[start + g] - largest)
                p -= float32(1)
            dlogits[start + g] = p / float32(images)

    def bias_sum(dy, db, images, plane):
        thread, k, filters = cuda.threadIdx.x, cuda.blockIdx.x, cuda.gridDim.x
        total = float32(0)
        for at in range(thread, images * plane, threads):
            total += dy[int32((at // plane * filters + k) * plane + at % plane)]
        total = block_sum(total, thread)
        if thread == 0:
            db[k] = total

    def renormalise(w, weights, radius):
        thread, start = cuda.threadIdx.x, int32(cuda.blockIdx.x * weights)
        squares = float32(0)
        for at in range(thread, weights, threads):
            squares += w[start + at] * w[start + at]
        rms = math.sqrt(block_sum(squares, thread) / float32(weights))
        if rms > radius:
            for at in range(thread, weights, threads):
                w[start + at] = w[start + at] * (radius / rms)

    return softmax_row, bias_sum, renormalise


def momentum_step(w, v, dw, rate, momentum, decay):
    """`decay` comes multiplied by the rate."""
    at = cuda.grid(1)
    if at < w.size:
        velocity = momentum * v[at] - rate * dw[at] - decay * w[at]
        v[at] = velocity
        w[at] += velocity


def softmax_cross_entropy(device: Device, logits: Array, labels: Array) -> tuple[Array, Array]:
    """logits (N,G), labels (N,) int32 -> losses (N,), dlogits (N,G)."""
    images, classes = logits.shape
    losses, dlogits = device.empty((images,)), device.empty(logits.shape)
    if images:
        kernel, threads = row_kernels(device.row_threads)[0], device.row_threads
        device.launch(kernel, images, threads, logits.reshape(-1), labels, losses, dlogits.reshape(-1), classes, images)
    return losses, dlogits


def bias_grad(device: Device, dy: Array) -> Array:
    """dy (N,K,P,Q) or (N,K) -> db (K,)."""
    images, filters = dy.shape[:2]
    db = device.empty((filters,))
    plane = int(np.prod(dy.shape[2:]))
    device.launch(row_kernels(device.row_threads)[1], filters, device.row_threads, dy.reshape(-1), db, images, plane)
    return db


def sgd_update(device: Device, w: Array, v: Array, dw: Array, rate: float, momentum: float, decay: float) -> None:
    flat = w.reshape(-1), v.reshape(-1), dw.reshape(-1)
    device.elementwise(momentum_step, w.size, *flat, rate, momentum, rate * decay)


def renormalise_filters(device: Device, w: Array, radius: float) -> None:
    kernel, threads = row_kernels(device.row_threads)[2], device.row_threads
    device.launch(kernel, len(w), threads, w.reshape(-1), w.size // len(w), radius)
