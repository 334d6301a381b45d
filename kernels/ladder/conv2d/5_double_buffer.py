"""conv2d, step 5: two buffers, so that reading and multiplying go on at the same time. The picture: 5_double_buffer.cu."""

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
    ws = cuda.shared.array((2, TAPS, ROW), float32)  # [buffer, tap, filter]
    xs = cuda.shared.array((2, TAPS, TILE), float32)  # [buffer, tap, pixel]
    thread, pixels, taps = cuda.threadIdx.x, N * P * Q, C * R * S
    column, row = thread % SPACE, thread // SPACE
    first_pixel, first_filter = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE

    # what this thread brings into shared memory: 4 taps of one pixel, and one tap of 4 filters
    pixel, x_tap, filter, w_tap = thread % TILE, thread // TILE * 4, thread // TAPS, thread % TAPS
    m, k = first_pixel + pixel, first_filter + filter
    q, p, n = m % Q, m // Q % P, m // Q // P
    next_x = cuda.local.array(4, float32)
    next_w = cuda.local.array(4, float32)

    total = cuda.local.array((MINE, MINE), float32)
    a = cuda.local.array(MINE, float32)
    b = cuda.local.array(MINE, float32)
    for f in range(MINE):
        for g in range(MINE):
            total[f, g] = 0

    buffer = 1
    for first in range(-TAPS, taps, TAPS):  # the first round only fetches
        for e in range(4):  # past the last tap: zeros, and no reads
            t = first + TAPS + x_tap + e
            s, r, c = t % S, t // S % R, t // S // R
            i, j = p * stride - pad + r, q * stride - pad + s
            next_x[e] = x[n, c, i, j] if m < pixels and t < taps and 0 <= i < H and 0 <= j < W else float32(0)
            t, f = first + TAPS + w_tap, k + e * 32
            next_w[e] = w[f, t // S // R, t // S % R, t % S] if f < K and t < taps else float32(0)
        if first >= 0:
            for tap in range(TAPS):
                for e in range(MINE):
                    a[e] = ws[buffer, tap, row + e * SPACE]
                    b[e] = xs[buffer, tap, column + e * SPACE]
                for f in range(MINE):
                    for g in range(MINE):
                        total[f, g] += a[f] * b[g]
        buffer ^= 1
        for e in range(4):
            xs[buffer, x_tap + e, pixel] = next_x[e]
            ws[buffer, w_tap, filter + e * 32] = next_w[e]
        cuda.syncthreads()

    for g in range(MINE):
        out = first_pixel + column + g * SPACE
        q, p, n = out % Q, out // Q % P, out // Q // P
        for f in range(MINE):
            map = first_filter + row + f * SPACE
            if out < pixels and map < K:
                y[n, map, p, q] = total[f, g]
