// Convolution of a picture: few maps in (three colours), many out. All that a block needs lies in shared memory at once.
//
//        input, one image                    outputs of a block: 16 x 16 pixels, FILTERS maps
//      +-----------------+
//      |  +--------+     |                   +--------+--------+     A warp owns 8 x 8 pixels and 32 filters. A lane has one column
//      |  | patch  |     |    --------->     | warp   | warp   |     of eight pixels (lane % 8) and eight filters (lane / 8): 64
//      |  | of all |     |                   |        |        |     sums. Eight lanes read neighbours of a row of the patch, so
//      |  | colours|     |                   +--------+--------+     banks meet only for strides above 4, and the lanes of other
//      |  +--------+     |                   | warp   | warp   |     filters read the same numbers.
//      +-----------------+                   +--------+--------+
//
// The taps r, r + stride, r + 2 * stride ... of a filter column are a run: outputs below each other read the same numbers, shifted
// by one (runs.cuh). So the weights lie as [map][filter column s][r mod stride][r div stride][FILTERS].
// An implicit product (implicit_product.cuh) copies every number of the input into shared memory R * S times, here it is once.
//
// What the compiler makes of a run of four taps (NVRTC 13.0, sm_90; 114 registers, no spills): 256 multiply-adds, 11 reads of 4
// bytes and 8 of 16 from shared memory, about 25 other instructions.
#include "runs.cuh"

#define TILE 16  // pixels of a block in each direction

struct FirstLayer {
    int maps, height, width;        // of the input
    int window_h, window_w, stride_h, stride_w, pad_h, pad_w;
    int filters, out_height, out_width;
    int patch_rows, patch_columns;  // of one map in shared memory
    int weights_pitch;              // filters in a row of packed weights
    int tiles_across, tiles;        // of one image
    int rectify;
};

template <int FILTERS>
__device__ __forceinline__ void first_layer(
    const float* __restrict__ x, const float* __restrict__ packed, const float* __restrict__ bias, float* __restrict__ y,
    const FirstLayer& p) {
    constexpr int THREADS = FILTERS * 4;
    DYN_SHARED(float, shared);
    const int t = threadIdx.x, lane = t % 32, warp = t / 32;
    const int image = blockIdx.x / p.tiles, tile = blockIdx.x % p.tiles;
    const int first_p = tile / p.tiles_across * TILE, first_q = tile % p.tiles_across * TILE, first_filter = blockIdx.y * FILTERS;

    const int taps = p.maps * p.window_h * p.window_w;
    float* const weights = shared;                   // [taps][FILTERS]
    float* const patch = shared + taps * FILTERS;    // [maps][patch_rows][patch_columns]
    for (int i = t * 4; i < taps * FILTERS; i += THREADS * 4)
        cp_async<16>(&weights[i], packed + (size_t)(i / FILTERS) * p.weights_pitch + first_filter + i % FILTERS);
    const int top = first_p * p.stride_h - p.pad_h, left = first_q * p.stride_w - p.pad_w;
    const float* const from = x + (size_t)image * p.maps * p.height * p.width;
    for (int line = warp; line < p.maps * p.patch_rows; line += THREADS / 32) {
        const int map = line / p.patch_rows, row = top + line % p.patch_rows;
        for (int i = lane; i < p.patch_columns; i += 32) {
            const bool in = int(unsigned(row) < unsigned(p.height)) & int(unsigned(left + i) < unsigned(p.width));
            cp_async<4>(&patch[line * p.patch_columns + i], from + (map * p.height + row) * p.width + left + i, in);
        }
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();

    const int own_p = warp % 2 * 8, own_q = warp / 2 % 2 * 8 + lane % 8, own_filter = warp / 4 * 32 + lane / 8 * 4;
    const int step = p.stride_h * p.patch_columns, least = p.window_h / p.stride_h, longer = p.window_h % p.stride_h;
    const float* column = patch + own_p * step + own_q * p.stride_w;
    const float* weight = weights + own_filter;
    float sums[8][8] = {};
    for (int map = 0; map < p.maps; ++map, column += p.patch_rows * p.patch_columns)
        for (int s = 0; s < p.window_w; ++s)
            for (int r = 0; r < p.stride_h; ++r) {
                const int here = least + (r < longer);  // taps r, r + stride, ...
                for (int run = 0; run < here; run += 4) {
                    add_run(sums, column + s + r * p.patch_columns + run * step, step, here - run, [&](int i, float(&w)[8]) {
                        *(float4*)&w[0] = *(const float4*)&weight[i * FILTERS];
                        *(float4*)&w[4] = *(const float4*)&weight[i * FILTERS + 16];
                    });
                    weight += min(4, here - run) * FILTERS;
                }
            }

    const int q = first_q + own_q;
    if (q >= p.out_width) return;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const int filter = first_filter + own_filter + j % 4 + j / 4 * 16;
        if (filter >= p.filters) continue;
        const float shift = bias ? bias[filter] : 0.f;
        float* const place = y + (size_t)(image * p.filters + filter) * p.out_height * p.out_width + q;
#pragma unroll
        for (int e = 0; e < 8; ++e) {
            const int row = first_p + own_p + e;
            if (row >= p.out_height) break;
            const float value = sums[e][j] + shift;
            place[row * p.out_width] = p.rectify && value <= 0.f ? 0.f : value;
        }
    }
}

// first_layer_<filters>: grid (tiles of all images, filters / FILTERS).
#define FIRST_LAYER(FILTERS, THREADS, BLOCKS)                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) first_layer_##FILTERS(                      \
        const float* x, const float* packed, const float* bias, float* y, FirstLayer p) {                     \
        first_layer<FILTERS>(x, packed, bias, y, p);                                                          \
    }
FIRST_LAYER(32, 128, 4)
FIRST_LAYER(64, 256, 2)
