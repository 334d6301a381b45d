// conv2d, step 1: one thread makes one output, straight from the definition.
//
//      x[n]  C x H x W             w[k]  C x R x S             y[n,k]  P x Q
//     +-----------------+
//     |   +-----+       |             +-----+                 +-----------+
//     |   | RxS |       |      *      | RxS |   summed   =    |   o       |   o: one thread
//     |   +-----+       |             +-----+                 +-----------+
//     +-----------------+
//
// Threads  index = ((n P + p) Q + q) K + k: the 32 threads of a warp hold 32 filters and one window of x
// Launch   256 threads a block, as many blocks as it takes
// Reads    2 from global memory for each multiply-add, one of x and one of w: 8 bytes for 2 FLOP
// Next     a warp reads w at 32 places C R S floats apart and writes y at 32 places P Q floats apart, but memory comes
//          in sectors of 32 bytes: of each sector fetched one float in eight is used. Step 2 puts neighbours side by side.

extern "C" __global__ void conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C,
                                  int H, int W, int K, int R, int S, int stride, int pad, int P, int Q) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= N * K * P * Q) return;
    const int k = index % K, q = index / K % Q, p = index / K / Q % P, n = index / K / Q / P;

    float sum = 0;
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r)
            for (int s = 0; s < S; ++s) {
                const int i = p * stride - pad + r, j = q * stride - pad + s;
                if (0 <= i && i < H && 0 <= j && j < W) sum += w[((k * C + c) * R + r) * S + s] * x[((n * C + c) * H + i) * W + j];
            }
    y[((n * K + k) * P + p) * Q + q] = sum;
}
