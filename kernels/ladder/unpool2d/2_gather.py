"""unpool2d, step 2: every place of x asks the windows that cover it. The picture: 2_gather.cu."""

from numba import cuda, float32


@cuda.jit
def unpool2d(y, switches, x, R, S, stride, pad):
    N, C, H, W = x.shape
    P, Q = y.shape[2], y.shape[3]
    index = cuda.grid(1)
    if index >= N * C * H * W:
        return
    j, i, c, n = index % W, index // W % H, index // W // H % C, index // W // H // C

    p0, p1 = (i + pad - R) // stride + 1, (i + pad) // stride  # // rounds down, below zero too
    q0, q1 = (j + pad - S) // stride + 1, (j + pad) // stride
    total = float32(0)
    for p in range(p0, p1 + 1):
        for q in range(q0, q1 + 1):
            r, s = i + pad - p * stride, j + pad - q * stride
            if 0 <= p < P and 0 <= q < Q and switches[n, c, p, q] == r * S + s:
                total += y[n, c, p, q]
    x[n, c, i, j] = total
