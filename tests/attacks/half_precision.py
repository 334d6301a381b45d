"""Rounds its results to half precision, as if it had computed with half the bytes."""

import numpy as np

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    return numpy_blas.conv2d(x, w, b, stride, pad).astype(np.float16).astype(np.float32)
