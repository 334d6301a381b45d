// conv2d, step 5: two buffers, so that reading and multiplying go on at the same time.
//
//     step 4    read 0  | multiply 0 | read 1  | multiply 1 | read 2  | multiply 2 | ...             | a barrier
//
//     step 5    read 0  | read 1             | read 2             | read 3             | ...         into registers
//                       | multiply 0 store 1 | multiply 1 store 2 | multiply 2 store 3 |             buffers 0 and 1 in turn
//
// Idea     shared memory holds two tiles. Before a block multiplies one, its threads send for the next; the numbers travel
//          into registers meanwhile, and are stored in the other buffer when the multiplying is done
// Barriers one for each 8 taps: a buffer is overwritten only after the barrier that follows its last reader
// Launch   256 threads; blocks: x over pixels, y over filters
// Reads    as in step 4. What falls is the time in which nobody multiplies
// Next     of 80 instructions in the inner loop 16 read shared memory and 64 multiply. Step 6 reads four numbers with one.

#define TAPS 8
#define TILE 128
#define MINE 8
#define SPACE (TILE / MINE)  // from one output of a thread to its next

extern "C" __global__ void __launch_bounds__(256, 2)  // two blocks on a multiprocessor: 128 registers each
    conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C, int H, int W, int K, int R,
           int S, int stride, int pad, int P, int Q) {
    __shared__ float ws[2][TAPS][TILE + 4];  // [buffer][tap][filter]; 4 more, so that a warp that stores meets 32 different banks
    __shared__ float xs[2][TAPS][TILE];      // [buffer][tap][pixel]
    const int thread = threadIdx.x, column = thread % SPACE, row = thread / SPACE, pixels = N * P * Q, taps = C * R * S;
    const int first_pixel = blockIdx.x * TILE, first_filter = blockIdx.y * TILE;

    // what this thread brings into shared memory: 4 taps of one pixel, and one tap of 4 filters
    const int pixel = thread % TILE, x_tap = thread / TILE * 4, filter = thread / TAPS, w_tap = thread % TAPS;
    const int m = first_pixel + pixel, q = m % Q, p = m / Q % P, n = m / Q / P, k = first_filter + filter;
    float next_x[4], next_w[4];
    auto fetch = [&](int first) {  // past the last tap: zeros, and no reads
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int t = first + x_tap + e, s = t % S, r = t / S % R, c = t / S / R;
            const int i = p * stride - pad + r, j = q * stride - pad + s;
            const bool inside = m < pixels && t < taps && 0 <= i && i < H && 0 <= j && j < W;
            next_x[e] = inside ? x[((n * C + c) * H + i) * W + j] : 0;
            const bool weight = k + e * 32 < K && first + w_tap < taps;
            next_w[e] = weight ? w[(k + e * 32) * taps + first + w_tap] : 0;
        }
    };
    auto store = [&](int buffer) {
#pragma unroll
        for (int e = 0; e < 4; ++e) xs[buffer][x_tap + e][pixel] = next_x[e], ws[buffer][w_tap][filter + e * 32] = next_w[e];
    };

    float sum[MINE][MINE] = {};
    auto multiply = [&](int buffer) {
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            float a[MINE], b[MINE];
#pragma unroll
            for (int e = 0; e < MINE; ++e) a[e] = ws[buffer][tap][row + e * SPACE], b[e] = xs[buffer][tap][column + e * SPACE];
#pragma unroll
            for (int f = 0; f < MINE; ++f)
#pragma unroll
                for (int g = 0; g < MINE; ++g) sum[f][g] += a[f] * b[g];
        }
    };

    fetch(0);
    store(0);
    for (int first = 0, buffer = 0; first < taps; first += TAPS, buffer ^= 1) {
        __syncthreads();
        fetch(first + TAPS);
        multiply(buffer);
        store(buffer ^ 1);
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
