"""Contrast normalisation across maps, and its gradient. A task is one image's stretch of pixels, through all its maps.

    scale[c] = k + alpha / size * sum of x[d]^2 over the maps d = c - size//2 ... c + (size-1)//2 that exist
    y[c]     = x[c] * scale[c] ** -beta

For the usual beta = 3/4 the power is two square roots and a division, which vectors can do; `pow` takes ten times as long.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import flat

STRETCH = 256


def lrn(x, size, alpha, beta, k):
    """x (N,C,H,W) -> y, scale (N,C,H,W)."""
    y, scale = aligned(x.shape), aligned(x.shape)
    images, maps, height, width = x.shape
    normalise(flat(x), images, maps, height * width, size, np.float32(alpha / size), beta, np.float32(k), flat(y), flat(scale))
    return y, scale


def lrn_grad(dy, x, y, scale, size, alpha, beta):
    """dy, x, y, scale (N,C,H,W) -> dx (N,C,H,W)."""
    dx = aligned(dy.shape)
    images, maps, height, width = x.shape
    share = np.float32(2 * alpha * beta / size)
    normalise_grad(flat(dy), flat(x), flat(y), flat(scale), images, maps, height * width, size, share, beta, flat(dx))
    return dx


@piece
def add_squares(total, x):
    for i in range(total.size):
        total[i] += x[i] * x[i]


@piece
def scales(total, k, share, scale):
    for i in range(total.size):
        scale[i] = k + share * total[i]


@piece
def times_power(x, scale, beta, y):
    """y = x * scale ** -beta."""
    if beta == 0.75:
        for i in range(x.size):
            root = np.sqrt(scale[i])
            y[i] = x[i] / (root * np.sqrt(root))
    else:
        for i in range(x.size):
            y[i] = x[i] * np.float32(np.float64(scale[i]) ** -beta)


@piece
def ratios(dy, y, scale, ratio):
    for i in range(dy.size):
        ratio[i] = dy[i] * y[i] / scale[i]


@piece
def add(total, ratio):
    for i in range(total.size):
        total[i] += ratio[i]


@piece
def subtract_share(dx, share, x, total):
    for i in range(dx.size):
        dx[i] -= share * x[i] * total[i]


@kernel
def normalise(x, images, maps, pixels, size, share, beta, k, y, scale):
    stretches = (pixels + STRETCH - 1) // STRETCH
    for task in prange(images * stretches):
        start = task % stretches * STRETCH
        count = min(STRETCH, pixels - start)
        base = task // stretches * maps * pixels + start
        total = np.empty(count, np.float32)
        for c in range(maps):
            total[:] = 0
            for d in range(max(0, c - size // 2), min(maps, c + (size - 1) // 2 + 1)):
                at = base + d * pixels
                add_squares(total, x[at : at + count])
            at = base + c * pixels
            scales(total, k, share, scale[at : at + count])
            times_power(x[at : at + count], scale[at : at + count], beta, y[at : at + count])


@kernel
def normalise_grad(dy, x, y, scale, images, maps, pixels, size, share, beta, dx):
    stretches = (pixels + STRETCH - 1) // STRETCH
    for task in prange(images * stretches):
        start = task % stretches * STRETCH
        count = min(STRETCH, pixels - start)
        base = task // stretches * maps * pixels + start
        ratio = np.empty((maps, count), np.float32)
        total = np.empty(count, np.float32)
        for c in range(maps):
            at = base + c * pixels
            ratios(dy[at : at + count], y[at : at + count], scale[at : at + count], ratio[c])
        for d in range(maps):
            total[:] = 0
            # the maps c whose window holds d: the forward window mirrored
            for c in range(max(0, d - (size - 1) // 2), min(maps, d + size // 2 + 1)):
                add(total, ratio[c])
            at = base + d * pixels
            times_power(dy[at : at + count], scale[at : at + count], beta, dx[at : at + count])
            subtract_share(dx[at : at + count], share, x[at : at + count], total)
