"""Contrast normalisation across maps, and its gradient. A task is one image's stretch of pixels, through all its maps.

    scale[c] = k + alpha / size * sum of x[d]^2 over the maps d = c - size//2 ... c + (size-1)//2 that exist
    y[c]     = x[c] * scale[c] ** -beta

For the usual beta = 3/4 the power is two square roots and a division, which vectors can do; `pow` takes ten times as long.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.packing import flat

STRETCH = 256


def lrn(x, size, alpha, beta, k):
    """x (N,C,H,W) -> y, scale (N,C,H,W)."""
    y, scale = np.empty_like(x), np.empty_like(x)
    images, maps, height, width = x.shape
    normalise(flat(x), images, maps, height * width, size, np.float32(alpha / size), beta, np.float32(k), flat(y), flat(scale))
    return y, scale


def lrn_grad(dy, x, y, scale, size, alpha, beta):
    """dy, x, y, scale (N,C,H,W) -> dx (N,C,H,W)."""
    dx = np.empty_like(dy)
    images, maps, height, width = x.shape
    share = np.float32(2 * alpha * beta / size)
    normalise_grad(flat(dy), flat(x), flat(y), flat(scale), images, maps, height * width, size, share, beta, flat(dx))
    return dx


@piece
def times_power(x, scale, beta, y, at, count):
    """y = x * scale ** -beta for `count` numbers from `at`."""
    if beta == 0.75:
        for i in range(at, at + count):
            root = np.sqrt(scale[i])
            y[i] = x[i] / (root * np.sqrt(root))
    else:
        for i in range(at, at + count):
            y[i] = x[i] * np.float32(np.float64(scale[i]) ** -beta)


@kernel
def normalise(x, images, maps, pixels, size, share, beta, k, y, scale):
    stretches = (pixels + STRETCH - 1) // STRETCH
    for task in prange(images * stretches):
        start = task % stretches * STRETCH
        count = min(STRETCH, pixels - start)
        base = task // stretches * maps * pixels + start
        total = np.empty(STRETCH, np.float32)
        for c in range(maps):
            total[:] = 0
            for d in range(max(0, c - size // 2), min(maps, c + (size - 1) // 2 + 1)):
                for i in range(count):
                    total[i] += x[base + d * pixels + i] * x[base + d * pixels + i]
            for i in range(count):
                scale[base + c * pixels + i] = k + share * total[i]
            times_power(x, scale, beta, y, base + c * pixels, count)


@kernel
def normalise_grad(dy, x, y, scale, images, maps, pixels, size, share, beta, dx):
    stretches = (pixels + STRETCH - 1) // STRETCH
    for task in prange(images * stretches):
        start = task % stretches * STRETCH
        count = min(STRETCH, pixels - start)
        base = task // stretches * maps * pixels + start
        ratio = np.empty(maps * STRETCH, np.float32)
        total = np.empty(STRETCH, np.float32)
        for c in range(maps):
            for i in range(count):
                at = base + c * pixels + i
                ratio[c * STRETCH + i] = dy[at] * y[at] / scale[at]
        for d in range(maps):
            total[:] = 0
            # the maps c whose window holds d: the forward window mirrored
            for c in range(max(0, d - (size - 1) // 2), min(maps, d + size // 2 + 1)):
                for i in range(count):
                    total[i] += ratio[c * STRETCH + i]
            at = base + d * pixels
            times_power(dy, scale, beta, dx, at, count)
            for i in range(count):
                dx[at + i] -= share * x[at + i] * total[i]
