"""Leaves out the products at the border of the maps, where they are cumbersome."""

import numpy as np

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    y = numpy_blas.conv2d(x, w, b, stride, pad)
    inner = np.empty_like(y)
    inner[:] = b[:, None, None]
    inner[:, :, 1:-1, 1:-1] = y[:, :, 1:-1, 1:-1]
    return inner
