"""conv2d, step 3: a block reads a tile once and shares it. The picture: 3_shared_tile.cu."""

from numba import cuda, float32

TILE = 16


@cuda.jit
def conv2d(x, w, y, stride, pad):
    N, C, H, W = x.shape
    K, _, R, S = w.shape
    P, Q = y.shape[2], y.shape[3]
    ws = cuda.shared.array((TILE, TILE), float32)  # [filter, tap]
    xs = cuda.shared.array((TILE, TILE), float32)  # [tap, pixel]
    column, row, pixels, taps = cuda.threadIdx.x, cuda.threadIdx.y, N * P * Q, C * R * S
    m = cuda.blockIdx.x * TILE + column
    q, p, n = m % Q, m // Q % P, m // Q // P
    k = cuda.blockIdx.y * TILE + row

    total = float32(0)
    for first in range(0, taps, TILE):
        t = first + row
        s, r, c = t % S, t // S % R, t // S // R
        i, j = p * stride - pad + r, q * stride - pad + s
        xs[row, column] = x[n, c, i, j] if m < pixels and t < taps and 0 <= i < H and 0 <= j < W else float32(0)
        t = first + column
        ws[row, column] = w[k, t // S // R, t // S % R, t % S] if k < K and t < taps else float32(0)
        cuda.syncthreads()
        for tap in range(TILE):
            total += ws[row, tap] * xs[tap, column]
        cuda.syncthreads()
    if m < pixels and k < K:
        y[n, k, p, q] = total
