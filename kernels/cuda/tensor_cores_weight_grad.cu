// The gradient for the filters on the tensor cores (TF32), and the fully connected layer, which has the same form.
//
//     dw[k, t] = sum over m of dy[k, m] * x[place(m) + place(t)]      k filter, t = (c, r, s) tap, m = (n, p, q) output pixel
//
//            filters k ->              rows     taps        A [16 pixels][tap]       copied from x, 0 in the padding
//        +--------+--------+           columns  filters     B [filter][16 pixels]    copied from dy
//   t    | warp   | warp   |           sums     over pixels, DEPTH = 16 in a step, BUFFERS = 4 steps in shared memory
//   a    | 64 x 64|        |
//   p    +--------+--------+           In mma.sync m16n8k8 lane 4 g + q holds rows g and g + 8 of A, column g of B, both at
//   s    | warp   | warp   |           places q and q + 4 of the sum. Which pixel is "place q" is ours to say: lane q takes
//        |        |        |           pixels 4q .. 4q + 3, two for one product, two for the next: one float4 of B as dy lies
//        +--------+--------+           in memory. And which tap is "row g": taps 2g and 2g + 1 are rows g and g + 8, one float2
//                                      of A. So every load lands in the registers where a product wants it.
//
// Neighbouring threads copy neighbouring pixels: 16 of them, of two taps. A's rows are 2 floats longer than the tile, so that
// this asks 32 different banks, and so do the lanes that read a float2 together (four g, four q: 4 rows apart). B needs
// nothing: the lanes that read a float4 together (two g, four q) read 128 neighbouring bytes.
//
// A tap keeps its place for the whole block, and pixels run; so the taps' table lies in shared memory, and each thread looks up
// the pixel it copies for, one step ahead. dy is copied 16 bytes at a time if an image has a multiple of four pixels.
//
// What NVRTC 13.0 makes of a step for sm_90, tile 128 x 128, for one thread: about 410 instructions with dy copied in fours,
// 450 without, of which 64 HMMA, 128 round both factors to TF32, 40 read shared memory, 20 or 32 copy (LDGSTS). 214 registers,
// nothing in local memory.
//
// blockIdx.z cuts the pixels into parts with sums of their own, added in order afterwards, as in weight_grad.cu.
#include "tensor_cores.cuh"

struct Sums {
    int filters, taps;        // results: filters x taps
    int pixels, map;          // output pixels: of all images, of one image
    int x_image, dy_image;    // floats of one image of x and of dy
    int part;                 // pixels of one part, a multiple of DEPTH
    int quads;                // whether four neighbouring pixels of dy may be one copy
};

template <int TAPS, int FILTERS, int WARP_TAPS, int WARP_FILTERS>
struct Warps {
    static constexpr int DOWN = TAPS / WARP_TAPS, THREADS = DOWN * (FILTERS / WARP_FILTERS) * 32;
    static constexpr int HIGH = WARP_TAPS / 16, WIDE = WARP_FILTERS / 8;    // products of a warp
    static constexpr int A_ROW = TAPS + 2, A_TILE = DEPTH * A_ROW, BUFFER = A_TILE + DEPTH * FILTERS;

    int g, q, first_tap, first_filter;
    float sums[HIGH][WIDE][4];

    __device__ __forceinline__ Warps() : sums{} {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        g = lane / 4;
        q = lane % 4;
        first_tap = warp % DOWN * WARP_TAPS;
        first_filter = warp / DOWN * WARP_FILTERS;
    }

    // One step: A [DEPTH][A_ROW], B [FILTERS][DEPTH].
    __device__ __forceinline__ void multiply(const float* a_tile, const float* b_tile) {
        a_tile += q * 4 * A_ROW + first_tap + g * 2;
        b_tile += (first_filter + g) * DEPTH + q * 4;
        unsigned a[2][HIGH][4];
#pragma unroll
        for (int k = 0; k < 2; ++k)
#pragma unroll
            for (int i = 0; i < HIGH; ++i)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const float2 pair = *(const float2*)&a_tile[(k * 2 + half) * A_ROW + i * 16];
                    a[k][i][half * 2] = to_tf32(pair.x);
                    a[k][i][half * 2 + 1] = to_tf32(pair.y);
                }
#pragma unroll
        for (int j = 0; j < WIDE; ++j) {
            const float4 pixels = *(const float4*)&b_tile[j * 8 * DEPTH];
            const unsigned b[2][2] = {{to_tf32(pixels.x), to_tf32(pixels.y)}, {to_tf32(pixels.z), to_tf32(pixels.w)}};
#pragma unroll
            for (int k = 0; k < 2; ++k)
#pragma unroll
                for (int i = 0; i < HIGH; ++i) mma_tf32_16x8x8(sums[i][j], a[k][i], b[k]);
        }
    }
};

// A pixel that runs through the images, DEPTH at a time.
struct Runner {
    int m, image, pq;

    __device__ __forceinline__ Runner(int first, int map) : m(first), image(first / map), pq(first % map) {}
    __device__ __forceinline__ void run(int map, int images_on, int pixels_on) {
        m += DEPTH;
        image += images_on;
        pq += pixels_on;
        if (pq >= map) {
            pq -= map;
            ++image;
        }
    }
};

template <int TAPS, int FILTERS, int WARP_TAPS, int WARP_FILTERS>
__device__ __forceinline__ void weight_grad_tile(
    const float* __restrict__ x, const float* __restrict__ dy, const Place* __restrict__ taps, const Place* __restrict__ pixels,
    float* __restrict__ parts, const Sums& sums) {
    using Product = Warps<TAPS, FILTERS, WARP_TAPS, WARP_FILTERS>;
    constexpr int THREADS = Product::THREADS, LANES = THREADS / DEPTH, QUAD_LANES = THREADS / 4;
    DYN_SHARED(float, shared);    // BUFFERS x (A, B), then the block's taps
    Place* const own_taps = reinterpret_cast<Place*>(shared + BUFFERS * Product::BUFFER);

    const int t = threadIdx.x, first_tap = blockIdx.x * TAPS, first_filter = blockIdx.y * FILTERS;
    for (int i = t; i < TAPS; i += THREADS) own_taps[i] = taps[first_tap + i];
    __syncthreads();

    // Each thread copies for one pixel of the 16, every LANES-th row from `lane` on; dy perhaps for four pixels at a time.
    const int own = t % DEPTH, lane = t / DEPTH;
    const int dy_pixel = sums.quads ? t % 4 * 4 : own, dy_lane = sums.quads ? t / 4 : lane;
    const int dy_lanes = sums.quads ? QUAD_LANES : LANES;
    const int begin = blockIdx.z * sums.part, end = min(sums.pixels, begin + sums.part);
    const int images_on = DEPTH / sums.map, pixels_on = DEPTH % sums.map;    // a step, so that no step divides
    int filters_there = 0;    // bit i: the i-th filter that this thread copies exists
    for (int i = 0; i * dy_lanes < FILTERS; ++i) filters_there |= (first_filter + dy_lane + i * dy_lanes < sums.filters) << i;
    Runner of_x(begin + own, sums.map), of_dy(begin + dy_pixel, sums.map);
    Place pixel = pixels[of_x.pq];
    auto copy = [&](int buffer) {
        float* const a = shared + buffer * Product::BUFFER + own * Product::A_ROW + lane;
        float* const b = shared + buffer * Product::BUFFER + Product::A_TILE;
        const int from = of_x.image * sums.x_image + pixel.offset, bits = of_x.m < end ? pixel.bits : 0;
#pragma unroll
        for (int first = 0; first < TAPS; first += LANES * 8) {
            Place tap[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) tap[i] = own_taps[lane + first + i * LANES];
#pragma unroll
            for (int i = 0; i < 8; ++i)
                cp_async<4>(a + first + i * LANES, x + (from + tap[i].offset), inside(tap[i].bits, bits));
        }
        const int there = of_dy.m < end ? filters_there : 0;
        const float* row = dy + (of_dy.image * sums.dy_image + of_dy.pq + (first_filter + dy_lane) * sums.map);
        float* const b_row = b + dy_lane * DEPTH + dy_pixel;
        if (sums.quads) {
#pragma unroll
            for (int i = 0; i < FILTERS / QUAD_LANES; ++i, row += QUAD_LANES * sums.map)
                cp_async<16>(b_row + i * QUAD_LANES * DEPTH, row, there & 1 << i);
        } else {
#pragma unroll
            for (int i = 0; i < FILTERS / LANES; ++i, row += LANES * sums.map)
                cp_async<4>(b_row + i * LANES * DEPTH, row, there & 1 << i);
        }
        of_x.run(sums.map, images_on, pixels_on);
        of_dy.run(sums.map, images_on, pixels_on);
        pixel = pixels[of_x.pq];
    };

    const int steps = (end - begin + DEPTH - 1) / DEPTH;
#pragma unroll 1
    for (int step = 0; step < BUFFERS - 1; ++step) {
        if (step < steps) copy(step);
        cp_async_commit();
    }
    Product tile;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<BUFFERS - 2>();    // this thread's copies of `step` have landed,
        __syncthreads();                 // everybody's have, and nobody reads the buffer before it any more
        if (step + BUFFERS - 1 < steps) copy((step + BUFFERS - 1) % BUFFERS);
        cp_async_commit();
        const float* const a = shared + step % BUFFERS * Product::BUFFER;
        tile.multiply(a, a + Product::A_TILE);
    }

    parts += (size_t)blockIdx.z * sums.filters * sums.taps;
#pragma unroll
    for (int j = 0; j < Product::WIDE; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            const int filter = first_filter + tile.first_filter + j * 8 + tile.q * 2 + e;
            if (filter >= sums.filters) continue;
#pragma unroll
            for (int i = 0; i < Product::HIGH; ++i) {
                const int tap = first_tap + tile.first_tap + i * 16 + tile.g * 2;
                float* const at = parts + (size_t)filter * sums.taps + tap;
                const float(&sum)[4] = tile.sums[i][j];
                if (sums.taps % 2 == 0) {
                    if (tap < sums.taps) *(float2*)at = make_float2(sum[e], sum[e + 2]);
                } else {
                    if (tap < sums.taps) at[0] = sum[e];
                    if (tap + 1 < sums.taps) at[1] = sum[e + 2];
                }
            }
        }
}

// tensor_weight_grad_<taps>x<filters>: grid (tap tiles, filter tiles, parts).
#define TENSOR_WEIGHT_GRAD(TAPS, FILTERS, WARP_TAPS, WARP_FILTERS, THREADS, BLOCKS)                                       \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) tensor_weight_grad_##TAPS##x##FILTERS(                  \
        const float* x, const float* dy, const Place* taps, const Place* pixels, float* parts, Sums sums) {               \
        weight_grad_tile<TAPS, FILTERS, WARP_TAPS, WARP_FILTERS>(x, dy, taps, pixels, parts, sums);                       \
    }
TENSOR_WEIGHT_GRAD(128, 128, 64, 64, 128, 2)
TENSOR_WEIGHT_GRAD(128, 96, 32, 96, 128, 2)
TENSOR_WEIGHT_GRAD(128, 64, 32, 64, 128, 3)
TENSOR_WEIGHT_GRAD(64, 96, 32, 48, 128, 3)    // a first layer: 147 taps for 96 filters fill three of these to 77 %
TENSOR_WEIGHT_GRAD(64, 64, 32, 32, 128, 4)
