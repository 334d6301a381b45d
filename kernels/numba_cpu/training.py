"""What a training step does beside its layers: gradients of biases, the step down the slope, filters held to a radius.

Every number is read once and written once, so memory sets the pace. A sum has one order whatever the number of threads.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, reduction
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import flat
from kernels.numpy_blas import softmax_cross_entropy  # a few thousand numbers: nothing to gain here

__all__ = ["bias_grad", "renormalise_filters", "sgd_update", "softmax_cross_entropy"]


def bias_grad(dy):
    """dy (N,K,P,Q) or (N,K) -> db (K,)."""
    db = aligned((dy.shape[1],))
    add_maps(flat(dy), dy.shape[0], dy.shape[1], int(np.prod(dy.shape[2:])), db)
    return db


def sgd_update(w, v, dw, rate, momentum, decay):
    """v = momentum*v - rate*dw - rate*decay*w;  w += v, in place."""
    descend(w.reshape(-1), v.reshape(-1), flat(dw), *(np.float32(number) for number in (rate, momentum, rate * decay)))


def renormalise_filters(w, radius):
    """Every w[k] whose RMS exceeds radius scaled back to it, in place."""
    if w.size:
        scale_back(w.reshape(-1), len(w), np.float32(radius))


@kernel
def add_maps(dy, images, maps, pixels, db):
    for k in prange(maps):
        total = np.float32(0)
        for n in range(images):
            start = (n * maps + k) * pixels
            total += sum_of(dy[start : start + pixels])
        db[k] = total


@kernel
def descend(w, v, dw, rate, momentum, shrink):
    for i in prange(w.size):
        v[i] = momentum * v[i] - rate * dw[i] - shrink * w[i]
        w[i] += v[i]


@kernel
def scale_back(w, filters, radius):
    size = w.size // filters
    for k in prange(filters):
        one = w[k * size : (k + 1) * size]
        rms = np.sqrt(sum_of_squares(one) / np.float32(size))
        if rms > radius:
            factor = radius / rms
            for i in range(size):
                one[i] *= factor


@reduction
def sum_of(x):
    total = np.float32(0)
    for i in range(x.size):
        total += x[i]
    return total


@reduction
def sum_of_squares(x):
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * x[i]
    return total
