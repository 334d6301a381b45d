// conv2d, step 3: a block reads a tile once and shares it.
//
//                          pixels m = (n, p, q) ->
//                        +----+
//                        | xs |  16 taps x 16 pixels      A convolution is a product of two matrices: w, filters x taps,
//              taps t =  +----+                           and the windows of x, taps x pixels. The second is never
//             (c, r, s)  |    |                           stored: its entry (t, m) is x[n, c, p stride - pad + r,
//         +----+-----+   +----+                           q stride - pad + s], or 0 where that lies in the padding.
// filters | ws | ... |   | y  |  16 x 16 outputs: a block,
//    k    +----+-----+   +----+  one for each thread
//
// Idea     the block walks along the taps, 16 at a time. Every thread brings one number of w and one of x into shared
//          memory, where the other threads of the block find them: each number is used 16 times
// Barriers two for each 16 taps: nobody reads a tile before all of it is there, nobody overwrites it before all have read it
// Launch   16 x 16 threads; blocks: x over pixels, y over filters
// Reads    2/16 from global memory for each multiply-add; instead 2 from shared memory, which every SM has for itself
// Next     two reads for each multiply-add remain, now of shared memory, and a GPU reads shared memory four times
//          more slowly than it multiplies. Step 4 keeps numbers in registers.

#define TILE 16

extern "C" __global__ void __launch_bounds__(TILE * TILE)
    conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C, int H, int W, int K, int R,
           int S, int stride, int pad, int P, int Q) {
    __shared__ float ws[TILE][TILE];  // [filter][tap]
    __shared__ float xs[TILE][TILE];  // [tap][pixel]
    const int column = threadIdx.x, row = threadIdx.y, pixels = N * P * Q, taps = C * R * S;
    const int m = blockIdx.x * TILE + column, q = m % Q, p = m / Q % P, n = m / Q / P;
    const int k = blockIdx.y * TILE + row;

    float sum = 0;
    for (int first = 0; first < taps; first += TILE) {
        const int t = first + row, s = t % S, r = t / S % R, c = t / S / R;
        const int i = p * stride - pad + r, j = q * stride - pad + s;
        const bool inside = m < pixels && t < taps && 0 <= i && i < H && 0 <= j && j < W;
        xs[row][column] = inside ? x[((n * C + c) * H + i) * W + j] : 0;
        ws[row][column] = k < K && first + column < taps ? w[k * taps + first + column] : 0;
        __syncthreads();
        for (int tap = 0; tap < TILE; ++tap) sum += ws[row][tap] * xs[tap][column];
        __syncthreads();
    }
    if (m < pixels && k < K) y[((n * K + k) * P + p) * Q + q] = sum;
}
