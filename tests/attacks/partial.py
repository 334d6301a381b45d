"""Leaves the last row of every map as the memory held it."""

import numpy as np

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    y = numpy_blas.conv2d(x, w, b, stride, pad)
    result = np.empty_like(y)
    result[:, :, :-1] = y[:, :, :-1]
    return result
