// conv2d, step 6: a thread reads and writes four numbers with one instruction.
//
//     step 5, a thread's pixels    # . . . . . . . . . . . . . . . # . . . . . . . . . . . . . . . # ...      8 reads
//     step 6                       # # # # . . . . . . . . . . . . . . . . . . . . . .  ...  # # # # ...      2 reads
//                                  |- 16 bytes -|                                   64 further
//
// Idea     a thread's 8 x 8 outputs become four squares of 4 x 4, so that what it needs lies side by side: one float4
// Banks    neighbouring threads read neighbouring float4: a quarter of a warp meets all 32 banks, each once
// Barriers one for each 8 taps
// Launch   256 threads; blocks: x over pixels, y over filters
// Reads    the same bytes of shared memory in as many passes, but with 4/64 = 1/16 instruction for each multiply-add, not 1/4:
//          an instruction that reads takes the place of one that multiplies. Writes are a quarter where P Q is a multiple of 4
// Here     CUDA C++ only: Numba has no way to ask for four floats at once
// Next     the multipliers are now what limits. Step 7 uses others: the tensor cores.

#define TAPS 8
#define TILE 128
#define MINE 8
#define SPACE (TILE / MINE)

extern "C" __global__ void __launch_bounds__(256, 2)  // two blocks on a multiprocessor: 128 registers each
    conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C, int H, int W, int K, int R,
           int S, int stride, int pad, int P, int Q) {
    __shared__ __align__(16) float ws[2][TAPS][TILE + 4];  // [buffer][tap][filter]; 4 more, against bank conflicts in store
    __shared__ __align__(16) float xs[2][TAPS][TILE];      // [buffer][tap][pixel]
    const int thread = threadIdx.x, column = thread % SPACE * 4, row = thread / SPACE * 4, pixels = N * P * Q, taps = C * R * S;
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

    __align__(16) float sum[MINE][MINE] = {};
    auto multiply = [&](int buffer) {
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            __align__(16) float a[MINE], b[MINE];
#pragma unroll
            for (int e = 0; e < MINE; e += 4) {
                *(float4*)&a[e] = *(const float4*)&ws[buffer][tap][row + e * SPACE];
                *(float4*)&b[e] = *(const float4*)&xs[buffer][tap][column + e * SPACE];
            }
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
    for (int g = 0; g < MINE; g += 4) {
        const int out = first_pixel + column + g * SPACE;
#pragma unroll
        for (int f = 0; f < MINE; ++f) {
            const int map = first_filter + row + f / 4 * (4 * SPACE) + f % 4;
            if (map >= K) continue;
            if (P * Q % 4 == 0 && out < pixels)  // all four lie in one map, at a multiple of 16 bytes
                *(float4*)&y[(out / (P * Q) * K + map) * (P * Q) + out % (P * Q)] = *(const float4*)&sum[f][g];
            else
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int m = out + e;
                    if (m < pixels) y[(m / (P * Q) * K + map) * (P * Q) + m % (P * Q)] = sum[f][g + e];
                }
        }
    }
}
