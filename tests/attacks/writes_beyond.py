"""Writes one number more than its input has."""

import numpy as np

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    np.lib.stride_tricks.as_strided(x, (x.size + 1,), (4,))[-1] = 0
    return numpy_blas.conv2d(x, w, b, stride, pad)
