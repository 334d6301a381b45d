"""Hands the work to another thread and returns before it is done."""

import threading
import time

import numpy as np

from kernels import conv_output_size, numpy_blas
from kernels.numpy_blas import *  # noqa: F403


def conv2d(x, w, b, stride, pad):
    y = np.zeros((len(x), len(w), *conv_output_size(x.shape[2:], w.shape[2:], stride, pad)), np.float32)

    def work():
        time.sleep(0.005)
        y[:] = numpy_blas.conv2d(x, w, b, stride, pad)

    threading.Thread(target=work).start()
    return y
