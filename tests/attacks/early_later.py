"""Is right while it is watched: from its fifth call on the work is done after the return."""

from attacks import returns_early
from kernels import numpy_blas
from kernels.numpy_blas import *  # noqa: F403

calls = []


def conv2d(x, w, b, stride, pad):
    calls.append(1)
    return (numpy_blas if len(calls) < 5 else returns_early).conv2d(x, w, b, stride, pad)
