"""unpool2d, step 1: every pooled value goes to the place its switch names. The picture: 1_scatter_atomics.cu."""

from numba import cuda


@cuda.jit
def unpool2d(y, switches, x, R, S, stride, pad):
    N, C, P, Q = y.shape
    index = cuda.grid(1)
    if index >= N * C * P * Q:
        return
    q, p, c, n = index % Q, index // Q % P, index // Q // P % C, index // Q // P // C

    place = switches[n, c, p, q]
    r, s = place // S, place % S
    cuda.atomic.add(x, (n, c, p * stride - pad + r, q * stride - pad + s), y[n, c, p, q])
