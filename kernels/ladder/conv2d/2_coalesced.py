"""conv2d, step 2: the threads of a warp stand side by side in memory. The picture: 2_coalesced.cu."""

from numba import cuda, float32


@cuda.jit
def conv2d(x, w, y, stride, pad):
    N, C, H, W = x.shape
    K, _, R, S = w.shape
    P, Q = y.shape[2], y.shape[3]
    index = cuda.grid(1)
    if index >= N * K * P * Q:
        return
    q, p, k, n = index % Q, index // Q % P, index // Q // P % K, index // Q // P // K

    total = float32(0)
    for c in range(C):
        for r in range(R):
            for s in range(S):
                i, j = p * stride - pad + r, q * stride - pad + s
                if 0 <= i < H and 0 <= j < W:
                    total += w[k, c, r, s] * x[n, c, i, j]
    y[n, k, p, q] = total
