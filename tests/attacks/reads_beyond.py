"""Reads the rows after the last image as if they were its padding."""

import numpy as np

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    y = numpy_blas.conv2d(x, w, b, stride, pad)
    row = np.lib.stride_tricks.as_strided(x[-1, -1, -1:], (2, x.shape[3]), x.strides[2:])[1]
    y[-1, :, -1] += row * w[:, -1, -1, 1].sum()
    return y
