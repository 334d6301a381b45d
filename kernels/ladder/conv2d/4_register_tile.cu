// conv2d, step 4: a thread makes 8 x 8 outputs, and keeps what it multiplies in registers.
//
//                        +---------------+
//                        |    xs         |   8 taps x 128 pixels           one thread, one tap:    b b b b b b b b
//                        +---------------+                                                      a  o o o o o o o o
//         +--+-----+     +---------------+                                                      a  o o o o o o o o
//         |  |     |     | .   .   .   . |   128 x 128 outputs: a block                         a  o o o o o o o o
//         |ws| ... |     |               |   of 256 threads; the dots                           .  . . . . . . . .
//         |  |     |     | .   .   .   . |   are one thread's outputs                              16 reads, 64 products
//         +--+-----+     +---------------+
//
// Idea     for each tap a thread reads 8 weights and 8 pixels and multiplies each with each: a number that came from shared
//          memory is used 8 times, and one from global memory 128 times, for a block can now make a larger tile
// Threads  a thread's outputs are 16 apart: neighbours in a warp read neighbouring banks and write neighbouring outputs
// Barriers two for each 8 taps
// Launch   256 threads; blocks: x over pixels, y over filters
// Reads    2/128 from global and 16/64 = 1/4 from shared memory for each multiply-add
// Next     between the two barriers everybody waits for global memory, and nobody multiplies. Step 5 reads ahead.

#define TAPS 8
#define TILE 128
#define MINE 8
#define SPACE (TILE / MINE)  // from one output of a thread to its next

extern "C" __global__ void __launch_bounds__(256, 2)  // two blocks on a multiprocessor: 128 registers each
    conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C, int H, int W, int K, int R,
           int S, int stride, int pad, int P, int Q) {
    __shared__ float ws[TAPS][TILE + 4];  // [tap][filter]; 4 more, so that a warp that stores meets 32 different banks
    __shared__ float xs[TAPS][TILE];      // [tap][pixel]
    const int thread = threadIdx.x, column = thread % SPACE, row = thread / SPACE, pixels = N * P * Q, taps = C * R * S;
    const int first_pixel = blockIdx.x * TILE, first_filter = blockIdx.y * TILE;

    // what this thread brings into shared memory: 4 taps of one pixel, and one tap of 4 filters
    const int pixel = thread % TILE, x_tap = thread / TILE * 4, filter = thread / TAPS, w_tap = thread % TAPS;
    const int m = first_pixel + pixel, q = m % Q, p = m / Q % P, n = m / Q / P, k = first_filter + filter;
    auto fetch = [&](int first) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int t = first + x_tap + e, s = t % S, r = t / S % R, c = t / S / R;
            const int i = p * stride - pad + r, j = q * stride - pad + s;
            const bool inside = m < pixels && t < taps && 0 <= i && i < H && 0 <= j && j < W;
            xs[x_tap + e][pixel] = inside ? x[((n * C + c) * H + i) * W + j] : 0;
            const bool weight = k + e * 32 < K && first + w_tap < taps;
            ws[w_tap][filter + e * 32] = weight ? w[(k + e * 32) * taps + first + w_tap] : 0;
        }
    };

    float sum[MINE][MINE] = {};
    auto multiply = [&] {
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            float a[MINE], b[MINE];
#pragma unroll
            for (int e = 0; e < MINE; ++e) a[e] = ws[tap][row + e * SPACE], b[e] = xs[tap][column + e * SPACE];
#pragma unroll
            for (int f = 0; f < MINE; ++f)
#pragma unroll
                for (int g = 0; g < MINE; ++g) sum[f][g] += a[f] * b[g];
        }
    };

    for (int first = 0; first < taps; first += TAPS) {
        fetch(first);
        __syncthreads();
        multiply();
        __syncthreads();
    }

#pragma unroll
    for (int g = 0; g < MINE; ++g) {
        const int out = first_pixel + column + g * SPACE;
#pragma unroll
        for (int f = 0; f < MINE; ++f) {
            const int map = first_filter + row + f * SPACE;
            if (out < pixels && map < K) y[(out / (P * Q) * K + map) * (P * Q) + out % (P * Q)] = sum[f][g];
        }
    }
}
