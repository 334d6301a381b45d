// The gradient for the filters, fp32: a matrix product whose sum runs over pixels.
//
//     dw[k, t] = sum over m of dy[k, m] * x[place(m) + place(t)]      k filter, t = (c, r, s) tap, m = (n, p, q) output pixel
//
//                     filters k ->
//               +--------+--------+    rows     taps          A [pixel][tap]      copied from x, 0 in the padding
//               | 8 pixels of dy  |    columns  filters       B [pixel][filter]   copied from dy
//               +--------+--------+    sums     over pixels, eight in a step; tile.cuh says how a block multiplies
//   t +---+     +--------+--------+
//   a | 8 |     |        |        |    x is never unrolled: where tap t of pixel m lies is the sum of two table entries. A
//   p | p |     |  tile  |  tile  |    tap's entry (geometry.cuh): offset, row and column from where the filter stands; a
//   s | i |     |        |        |    pixel's, in the same form: where that is in the image. Whether the tap lies in the
//     | x |     +--------+--------+    padding is seen from the sums of rows and columns.
//     +---+
//       x         Neighbouring threads copy neighbouring pixels, which lie next to each other in dy and, with stride 1, in x.
//                 Rows of shared memory are 4 floats longer than the tile: 8 pixels x 4 taps, which a warp copies at once, ask
//                 32 banks.
//
// A layer has few tiles (54 of 128 x 128 for a convolution 384 -> 256, 3 x 3) and many pixels, so blockIdx.z cuts the pixels
// into parts; each part writes its own sums, and packing.cu adds them in the order of the parts: same bits in every run, no
// atomics.
//
// What NVRTC 13.0 makes of a step for sm_90, tile 128 x 128, for one thread: 693 instructions, of which 512 FFMA, 36 read
// shared memory, 8 copy (LDGSTS), 117 compute addresses, masks and the loop. 128 registers, nothing in local memory.
#include "geometry.cuh"
#include "tile.cuh"

struct Sums {
    int filters, taps;        // results: filters x taps
    int pixels, map;          // output pixels: of all images, of one image
    int x_image, dy_image;    // floats of one image of x and of dy
    int height, width;        // of x
    int part;                 // pixels of one part, a multiple of STEP
};

template <int TAPS, int FILTERS, int NT>
__device__ __forceinline__ void weight_grad_tile(const float* __restrict__ x, const float* __restrict__ dy,
                                                 const Tap* __restrict__ taps, const Tap* __restrict__ pixels,
                                                 float* __restrict__ parts, const Sums& sums) {
    using Product = Tile<TAPS, FILTERS, NT>;
    constexpr int LANES = Product::THREADS / STEP, A_PITCH = TAPS + 4, B_PITCH = FILTERS + 4;
    constexpr int PLACES = (TAPS + LANES - 1) / LANES * LANES;
    DYN_SHARED(float, shared);
    float* const a = shared;                              // [STAGES][STEP][A_PITCH]
    float* const b = a + STAGES * STEP * A_PITCH;         // [STAGES][STEP][B_PITCH]
    Tap* const own_taps = reinterpret_cast<Tap*>(b + STAGES * STEP * B_PITCH);    // [PLACES]

    const int t = threadIdx.x, first_tap = blockIdx.x * TAPS, first_filter = blockIdx.y * FILTERS;
    for (int i = t; i < PLACES; i += Product::THREADS) own_taps[i] = taps[first_tap + i];
    __syncthreads();

    // This thread copies for one pixel of the eight: every LANES-th tap and filter from `lane` on.
    const int own = t % STEP, lane = t / STEP;
    const int begin = blockIdx.z * sums.part, end = min(sums.pixels, begin + sums.part);
    int m = begin + own, image = m / sums.map, pq = m % sums.map;
    const int images_on = STEP / sums.map, pixels_on = STEP % sums.map;    // a step, so that no step divides
    const int filters_left = sums.filters - first_filter, first_row = (first_filter + lane) * sums.map;
    Tap pixel = pixels[pq];
    Product tile;
    sum_steps<A_PITCH, B_PITCH>(tile, (end - begin + STEP - 1) / STEP, a, b, [&](int stage) {
        float* const a_row = a + (stage * STEP + own) * A_PITCH + lane;
        float* const b_row = b + (stage * STEP + own) * B_PITCH + lane;
        const int x_at = image * sums.x_image + pixel.offset, dy_at = image * sums.dy_image + pq + first_row;
#pragma unroll
        for (int i = 0; i < TAPS; i += LANES) {
            const Tap tap = own_taps[lane + i];
            const bool inside = int(unsigned(pixel.row + tap.row) < unsigned(sums.height)) &
                                int(unsigned(pixel.column + tap.column) < unsigned(sums.width)) & int(m < end);
            if (i + LANES <= TAPS || lane + i < TAPS) cp_async<4>(a_row + i, x + (x_at + tap.offset), inside);
        }
#pragma unroll
        for (int i = 0; i < FILTERS; i += LANES) {
            const bool inside = m < end && lane + i < filters_left;
            if (i + LANES <= FILTERS || lane + i < FILTERS) cp_async<4>(b_row + i, dy + (dy_at + i * sums.map), inside);
        }
        m += STEP;
        image += images_on;
        pq += pixels_on;
        if (pq >= sums.map) {
            pq -= sums.map;
            ++image;
        }
        pixel = pixels[pq];
    });

    parts += (size_t)blockIdx.z * sums.filters * sums.taps;
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        const int filter = first_filter + tile.column_of(j);
        if (filter >= sums.filters) continue;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const int tap = first_tap + tile.row_of(i);
            if (tap < sums.taps) parts[(size_t)filter * sums.taps + tap] = tile.sums[i][j];
        }
    }
}

// weight_grad_<taps>x<filters>: grid (tap tiles, filter tiles, parts).
#define WEIGHT_GRAD(TAPS, FILTERS, NT, THREADS, BLOCKS)                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) weight_grad_##TAPS##x##FILTERS(                    \
        const float* __restrict__ x, const float* __restrict__ dy, const Tap* __restrict__ taps,                     \
        const Tap* __restrict__ pixels, float* __restrict__ parts, Sums sums) {                                      \
        weight_grad_tile<TAPS, FILTERS, NT>(x, dy, taps, pixels, parts, sums);                                       \
    }
WEIGHT_GRAD(128, 128, 8, 256, 2)
WEIGHT_GRAD(128, 64, 8, 128, 3)
WEIGHT_GRAD(64, 96, 8, 96, 5)    // a first layer: 147 taps of 3 channels for 96 filters fill three of these to 77 %
WEIGHT_GRAD(64, 64, 8, 64, 7)
