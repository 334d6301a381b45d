"""ReLU and its gradient: as fast as memory delivers."""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import flat


def relu(x):
    """0.0 where x <= 0, else x; any shape."""
    y = aligned(x.shape)
    rectify(flat(x), flat(y))
    return y


def relu_grad(dy, y):
    """dy where y > 0, else 0.0; any shape."""
    dx = aligned(dy.shape)
    pass_where_positive(flat(dy), flat(y), flat(dx))
    return dx


@kernel
def rectify(x, y):
    for i in prange(x.size):
        y[i] = np.float32(0) if x[i] <= 0 else x[i]


@kernel
def pass_where_positive(dy, y, dx):
    for i in prange(dy.size):
        dx[i] = dy[i] if y[i] > 0 else np.float32(0)
