// conv2d, step 2: the threads of a warp stand side by side in memory.
//
//      a warp of step 1                      a warp of step 2
//      w  . . . # . . . # . . . # . . .      x  . . # # # # # # # # . . .     # what one instruction reads or writes
//      y  # . . . # . . . # . . . # . .      y  . . # # # # # # # # . . .
//         one sector for each thread            one sector for eight threads
//
// Idea     only the first two lines change: index = ((n K + k) P + p) Q + q, so a warp holds 32 outputs of one row (or two);
//          it reads 32 neighbours of x, and one and the same weight, which goes to all 32 threads at once
// Launch   256 threads a block, as many blocks as it takes
// Reads    as many as before, 2 for each multiply-add, but a warp's read of x fetches about 5 sectors of 32 bytes (stride 1),
//          its read of w one, and its write touches 4 or 5, where step 1 fetched and touched 32
// Next     every x is read from global memory once for each filter, and every weight once for each pixel. Step 3 lets
//          the threads of a block share what they read.

extern "C" __global__ void conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C,
                                  int H, int W, int K, int R, int S, int stride, int pad, int P, int Q) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= N * K * P * Q) return;
    const int q = index % Q, p = index / Q % P, k = index / Q / P % K, n = index / Q / P / K;

    float sum = 0;
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r)
            for (int s = 0; s < S; ++s) {
                const int i = p * stride - pad + r, j = q * stride - pad + s;
                if (0 <= i && i < H && 0 <= j && j < W) sum += w[((k * C + c) * R + r) * S + s] * x[((n * C + c) * H + i) * W + j];
            }
    y[((n * K + k) * P + p) * Q + q] = sum;
}
