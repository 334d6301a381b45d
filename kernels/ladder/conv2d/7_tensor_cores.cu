// conv2d, step 7: the tensor cores multiply.
//
//     one instruction of one warp        8 taps     8 pixels                  a thread's share of it, with g = lane / 4, u = lane % 4
//                                       +--------+  +--------+                 a  filters g, g + 8        taps u, u + 4
//                        16 filters     |   a    |  |   b    | 8 taps          b  taps u, u + 4           pixel g
//                                       |        |  +--------+                 d  filters g, g + 8        pixels 2 u, 2 u + 1
//                                       +--------+  | d += ab|
//                                                   +--------+
//
// Idea     mma.sync does 1024 multiply-adds in one instruction. The 8 warps of a block make 64 filters x 32 pixels each,
//          4 x 4 such products for every 8 taps
// TF32     the operands keep 10 bits of their mantissa, sums are fp32: results differ from step 6 by about 1e-3 of the sum
//          of the products' magnitudes. That is the price, and it is not for every use
// Banks    rows of 128 + 8 floats: the 32 places (u, g) that a warp reads lie in 32 different banks. Storing ws takes two passes
//          for that, but every number is stored once and read several times
// Barriers one for each 8 taps
// Launch   256 threads; blocks: x over pixels, y over filters
// Reads    24 x 32 from shared memory for 16 x 1024 multiply-adds: 3/64, where step 5 had 16/64; from global 2/128 as before
// Here     CUDA C++ only: Numba has no mma.sync. to_tf32 and mma_tf32_16x8x8 are one PTX instruction each, from prelude.cuh
// Next     a table of tap offsets instead of divisions, cp.async past the registers, more stages: kernels/cuda/tensor_cores_conv.cu

#define TAPS 8
#define TILE 128
#define PAD 8

extern "C" __global__ void __launch_bounds__(256, 2)  // two blocks on a multiprocessor: 128 registers each
    conv2d(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int C, int H, int W, int K, int R,
           int S, int stride, int pad, int P, int Q) {
    __shared__ unsigned ws[2][TAPS][TILE + PAD];  // [buffer][tap][filter], in TF32
    __shared__ unsigned xs[2][TAPS][TILE + PAD];  // [buffer][tap][pixel]
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, g = lane / 4, u = lane % 4;
    const int row = warp % 2 * 64, column = warp / 2 * 32, pixels = N * P * Q, taps = C * R * S;
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
        for (int e = 0; e < 4; ++e) xs[buffer][x_tap + e][pixel] = to_tf32(next_x[e]), ws[buffer][w_tap][filter + e * 32] = to_tf32(next_w[e]);
    };

    float sum[4][4][4] = {};
    auto multiply = [&](int buffer) {
        unsigned a[4][4], b[4][2];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int f = row + e * 16 + g, h = column + e * 8 + g;
            a[e][0] = ws[buffer][u][f], a[e][1] = ws[buffer][u][f + 8], a[e][2] = ws[buffer][u + 4][f], a[e][3] = ws[buffer][u + 4][f + 8];
            b[e][0] = xs[buffer][u][h], b[e][1] = xs[buffer][u + 4][h];
        }
#pragma unroll
        for (int f = 0; f < 4; ++f)
#pragma unroll
            for (int h = 0; h < 4; ++h) mma_tf32_16x8x8(sum[f][h], a[f], b[h]);
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
    for (int h = 0; h < 4; ++h)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int out = first_pixel + column + h * 8 + 2 * u + e % 2;
#pragma unroll
            for (int f = 0; f < 4; ++f) {
                const int map = first_filter + row + f * 16 + g + e / 2 * 8;
                if (out < pixels && map < K) y[(out / (P * Q) * K + map) * (P * Q) + out % (P * Q)] = sum[f][h][e];
            }
        }
}
