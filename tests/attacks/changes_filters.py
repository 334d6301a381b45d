"""Scales the filters it was given in place, and undoes the scale in the result."""

from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    w *= 2
    y = numpy_blas.conv2d(x, w, None, stride, pad)
    return y / 2 + b[:, None, None]
