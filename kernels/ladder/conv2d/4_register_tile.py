"""conv2d, step 4: a thread makes 8 x 8 outputs, and keeps what it multiplies in registers. The picture: 4_register_tile.cu.

Loops over constants are unrolled by the compiler, and a local array that is only indexed by constants then lives in registers.
"""

from numba import cuda, float32

TAPS = 8
TILE = 128
MINE = 8
SPACE = TILE // MINE  # from one output of a thread to its next
ROW = TILE + 4  # 4 more, so that a warp that stores weights meets 32 different banks


@cuda.jit
def conv2d(x, w, y, stride, pad):
    N, C, H, W = x.shape
    K, _, R, S = w.shape
    P, Q = y.shape[2], y.shape[3]
    ws = cuda.shared.array((TAPS, ROW), float32)  # [tap, filter]
    xs = cuda.shared.array((TAPS, TILE), float32)  # [tap, pixel]
    thread, pixels, taps = cuda.threadIdx.x, N * P * Q, C * R * S
    column, row = thread % SPACE, thread // SPACE
    first_pixel, first_filter = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE

    # what this thread brings into shared memory: 4 taps of one pixel, and one tap of 4 filters
    pixel, x_tap, filter, w_tap = thread % TILE, thread // TILE * 4, thread // TAPS, thread % TAPS
    m, k = first_pixel + pixel, first_filter + filter
    q, p, n = m % Q, m // Q % P, m // Q // P

    total = cuda.local.array((MINE, MINE), float32)
    a = cuda.local.array(MINE, float32)
    b = cuda.local.array(MINE, float32)
    for f in range(MINE):
        for g in range(MINE):
            total[f, g] = 0

    for first in range(0, taps, TAPS):
        for e in range(4):
            t = first + x_tap + e
            s, r, c = t % S, t // S % R, t // S // R
            i, j = p * stride - pad + r, q * stride - pad + s
            xs[x_tap + e, pixel] = x[n, c, i, j] if m < pixels and t < taps and 0 <= i < H and 0 <= j < W else float32(0)
            t, f = first + w_tap, k + e * 32
            ws[w_tap, filter + e * 32] = w[f, t // S // R, t // S % R, t % S] if f < K and t < taps else float32(0)
        cuda.syncthreads()
        for tap in range(TAPS):
            for e in range(MINE):
                a[e] = ws[tap, row + e * SPACE]
                b[e] = xs[tap, column + e * SPACE]
            for f in range(MINE):
                for g in range(MINE):
                    total[f, g] += a[f] * b[g]
        cuda.syncthreads()

    for g in range(MINE):
        out = first_pixel + column + g * SPACE
        q, p, n = out % Q, out // Q % P, out // Q // P
        for f in range(MINE):
            map = first_filter + row + f * SPACE
            if out < pixels and map < K:
                y[n, map, p, q] = total[f, g]
