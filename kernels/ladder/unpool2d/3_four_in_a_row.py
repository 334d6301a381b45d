"""unpool2d, step 3: a thread asks for four neighbours at once. The picture: 3_four_in_a_row.cu.

Numba cannot write four floats with one instruction, so here only the reads of the switches fall, not the writes.
"""

from numba import cuda, float32


@cuda.jit
def unpool2d(y, switches, x, R, S, stride, pad):
    N, C, H, W = x.shape
    P, Q = y.shape[2], y.shape[3]
    index, fours = cuda.grid(1), (W + 3) // 4
    if index >= N * C * H * fours:
        return
    j, i, c, n = index % fours * 4, index // fours % H, index // fours // H % C, index // fours // H // C

    p0, p1 = (i + pad - R) // stride + 1, (i + pad) // stride  # // rounds down, below zero too
    q0, q1 = (j + pad - S) // stride + 1, (j + 3 + pad) // stride
    total = cuda.local.array(4, float32)
    for e in range(4):
        total[e] = 0
    for p in range(p0, p1 + 1):
        for q in range(q0, q1 + 1):
            if p < 0 or p >= P or q < 0 or q >= Q:
                continue
            s = switches[n, c, p, q] - (i + pad - p * stride) * S  # its column in the window, if it is in our row
            mine = q * stride - pad + s - j  # which of the four it names
            if 0 <= s < S and 0 <= mine < 4:
                value = y[n, c, p, q]
                for e in range(4):
                    total[e] += value if mine == e else float32(0)  # not total[mine]: registers have no addresses

    for e in range(4):
        if j + e < W:
            x[n, c, i, j + e] = total[e]
