"""Returns the right numbers with the axes of another layout."""

import numpy as np

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    return np.asfortranarray(numpy_blas.conv2d(x, w, b, stride, pad))
