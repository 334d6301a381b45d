// Convolution and its adjoint on the tensor cores (TF32): the implicit matrix product of conv_fp32.cu, summed by other units.
//
//     rows     output pixels      A [tap][pixel]    copied from the input tap by tap (cp.async, 4 bytes, zeros in the padding)
//     columns  output maps        B [filter][tap]   copied from packed weights, already rounded to TF32 (cp.async, 16 bytes)
//     sums     over taps, DEPTH = 16 in a step, BUFFERS = 4 steps in shared memory
//
//          filters ->                  mma.sync m16n8k8: one warp multiplies 16 x 8 by 8 x 8. Lane l = 4 g + q holds
//        +--------+--------+
//   p    | warp   | warp   |               a (16 x 8)  rows g, g + 8     columns q, q + 4
//   i    | 64 x 64|        |               b ( 8 x 8)  rows q, q + 4     column  g
//   x    +--------+--------+               d (16 x 8)  rows g, g + 8     columns 2 q, 2 q + 1
//   e    | warp   | warp   |
//   l    |        |        |           and a second time for taps 8 .. 15. Which pixel is "row g" is ours to say: of 16
//   s    +--------+--------+           neighbours, rows g and g + 8 are the pixels 2g and 2g + 1, one float2 in shared memory.
//
// Packed weights lie in the order in which lanes want them: taps q, q + 4, q + 8, q + 12 of a filter are one float4. So for the
// 64 products of a warp and step, a lane reads 16 float2 and 8 float4, and each lands in the registers where it is wanted.
// A's rows are 8 floats longer than the tile, so that lanes which are served together (four g, four q) ask different banks;
// for B the lanes served together (two g, four q) read 128 neighbouring bytes anyway.
//
// A table says where taps lie (geometry.cuh); it travels with the tiles. Group i of the copies brings the tiles of step i and
// the table of step i + 3, which is needed when step i has landed and the copies of step i + 3 are started.
//
// At the end the sums go through shared memory, so that each thread writes one pixel and neighbours write next to each other.
//
// What NVRTC 13.0 makes of a step for sm_90, tile 128 x 128, for one thread: 287 instructions, of which 64 HMMA, 66 round
// pixels to TF32, 32 read shared memory, 21 copy (LDGSTS), 86 compute addresses, masks and the loop; none moves a number from
// one register to another on its way to the tensor cores. 214 registers, nothing in local memory.
#include "geometry.cuh"
#include "tensor_cores.cuh"

template <int PIXELS_, int FILTERS_, int WARP_PIXELS, int WARP_FILTERS_>
struct Warps {
    static constexpr int PIXELS = PIXELS_, FILTERS = FILTERS_, WARP_FILTERS = WARP_FILTERS_;
    static constexpr int DOWN = PIXELS / WARP_PIXELS, ACROSS = FILTERS / WARP_FILTERS, THREADS = DOWN * ACROSS * 32;
    static constexpr int HIGH = WARP_PIXELS / 16, WIDE = WARP_FILTERS / 8;    // products of a warp
    static constexpr int A_ROW = PIXELS + 8, BUFFER = DEPTH * (A_ROW + FILTERS), OUT_ROW = PIXELS + 4;

    int g, q, first_pixel, first_filter;
    float sums[HIGH][WIDE][4];

    __device__ __forceinline__ Warps() : sums{} {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        g = lane / 4;
        q = lane % 4;
        first_pixel = warp % DOWN * WARP_PIXELS;
        first_filter = warp / DOWN * WARP_FILTERS;
    }

    // One step: A [DEPTH][A_ROW], B [FILTERS][DEPTH].
    __device__ __forceinline__ void multiply(const float* a_tile, const float* b_tile) {
        a_tile += q * A_ROW + first_pixel + g * 2;
        b_tile += (first_filter + g) * DEPTH + q * 4;
        unsigned a[2][HIGH][4];
#pragma unroll
        for (int k = 0; k < 2; ++k)
#pragma unroll
            for (int i = 0; i < HIGH; ++i)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const float2 pair = *(const float2*)&a_tile[(k * 8 + half * 4) * A_ROW + i * 16];
                    a[k][i][half * 2] = to_tf32(pair.x);
                    a[k][i][half * 2 + 1] = to_tf32(pair.y);
                }
#pragma unroll
        for (int j = 0; j < WIDE; ++j) {
            const float4 taps = *(const float4*)&b_tile[j * 8 * DEPTH];
            const unsigned b[2][2] = {{__float_as_uint(taps.x), __float_as_uint(taps.y)},
                                      {__float_as_uint(taps.z), __float_as_uint(taps.w)}};
#pragma unroll
            for (int k = 0; k < 2; ++k)
#pragma unroll
                for (int i = 0; i < HIGH; ++i) mma_tf32_16x8x8(sums[i][j], a[k][i], b[k]);
        }
    }

    // 32 of each warp's filters, from its 32 * part-th on, to shared memory: out [ACROSS * 32][OUT_ROW].
    __device__ __forceinline__ void lay_out(float* out, int part) const {
        out += (first_filter / WARP_FILTERS * 32 + q * 2) * OUT_ROW + first_pixel + g * 2;
#pragma unroll
        for (int i = 0; i < HIGH; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float(&sum)[4] = sums[i][part * 4 + j];
                    *(float2*)&out[(j * 8 + e) * OUT_ROW + i * 16] = make_float2(sum[e], sum[e + 2]);
                }
    }
};

template <class Tile>
__device__ __forceinline__ void convolve(
    const float* __restrict__ x, const float* __restrict__ packed, const float* __restrict__ bias, float* __restrict__ y,
    const Place* __restrict__ taps, const Phase* __restrict__ phases, const Geometry& g, int first_row, int first_column) {
    constexpr int PIXELS = Tile::PIXELS, FILTERS = Tile::FILTERS, WARP_FILTERS = Tile::WARP_FILTERS;
    constexpr int THREADS = Tile::THREADS, TAPS_EACH = PIXELS * DEPTH / THREADS;
    DYN_SHARED(float, shared);    // BUFFERS x (A, B), then BUFFERS x DEPTH taps
    Place* const listed = reinterpret_cast<Place*>(shared + BUFFERS * Tile::BUFFER);

    const int t = threadIdx.x;
    // Tiles of filters run side by side, for they read the same pixels; then phases of one region, for they read the same input
    // and write to the same cache lines.
    const int across = (g.filters + FILTERS - 1) / FILTERS, first_filter = blockIdx.x % across * FILTERS;
    const Phase phase = phases[blockIdx.x / across % g.phases];
    const unsigned first_pixel = blockIdx.x / across / g.phases * PIXELS;
    if (first_pixel >= unsigned(g.images * phase.rows * phase.columns)) return;    // a phase with fewer rows than the first
    const int each = (phase.taps / DEPTH + g.splits - 1) / g.splits;
    const int begin = min(int(blockIdx.z) * each, phase.taps / DEPTH), steps = min(each, phase.taps / DEPTH - begin);
    taps += phase.first_tap + begin * DEPTH;
    packed += (size_t)(phase.first_tap + begin * DEPTH) * g.pitch + first_filter * DEPTH + t * 4;

    const int own_pixel = t % PIXELS, own_tap = t / PIXELS * TAPS_EACH;    // copies A[own_tap ...][own_pixel]
    const Pixel pixel = locate(first_pixel + own_pixel, phase, g);
    const int bits = pixel.place < 0 ? 0
                                     : bits_inside(pixel.row + first_row, g.height) |
                                           bits_inside(pixel.column + first_column, g.width) << 16;
    auto copy = [&](int buffer, const Place* table) {
        float* const a = shared + buffer * Tile::BUFFER + own_tap * Tile::A_ROW + own_pixel;
        float* const b = shared + buffer * Tile::BUFFER + DEPTH * Tile::A_ROW + t * 4;
#pragma unroll
        for (int first = 0; first < TAPS_EACH; first += 8) {
            Place tap[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) tap[i] = table[own_tap + first + i];
#pragma unroll
            for (int i = 0; i < 8; ++i)
                cp_async<4>(a + (first + i) * Tile::A_ROW, x + (pixel.base + tap[i].offset), inside(tap[i].bits, bits));
        }
#pragma unroll
        for (int i = 0; i < FILTERS * DEPTH; i += THREADS * 4) cp_async<16>(b + i, packed + i);
        packed += (size_t)DEPTH * g.pitch;
    };
    auto copy_table = [&](int step) {
        if (step < steps && t < DEPTH / 2) cp_async<16>(&listed[step % BUFFERS * DEPTH + t * 2], &taps[step * DEPTH + t * 2]);
    };

    for (int step = 0; step < BUFFERS - 1; ++step) {
        if (step < steps) copy(step, taps + step * DEPTH);
        copy_table(step + BUFFERS - 1);
        cp_async_commit();
    }
    Tile tile;
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<BUFFERS - 2>();    // this thread's copies of `step` have landed,
        __syncthreads();                 // everybody's have, and nobody reads the buffer before it any more
        const int ahead = step + BUFFERS - 1, buffer = ahead % BUFFERS;
        if (ahead < steps) copy(buffer, listed + buffer * DEPTH);
        copy_table(ahead + BUFFERS - 1);
        cp_async_commit();
        const float* const a = shared + step % BUFFERS * Tile::BUFFER;
        tile.multiply(a, a + DEPTH * Tile::A_ROW);
    }

    if (g.splits > 1) y += (size_t)blockIdx.z * g.images * g.filters * g.plane;
#pragma unroll
    for (int part = 0; part < WARP_FILTERS / 32; ++part) {
        __syncthreads();    // nobody reads what shared memory held before
        tile.lay_out(shared, part);
        __syncthreads();
        if (pixel.place < 0) continue;
#pragma unroll 8
        for (int row = t / PIXELS; row < Tile::ACROSS * 32; row += THREADS / PIXELS) {
            const int filter = first_filter + row / 32 * WARP_FILTERS + part * 32 + row % 32;
            if (filter >= g.filters) continue;
            float value = shared[row * Tile::OUT_ROW + own_pixel];
            if (g.splits == 1) {
                if (bias) value += bias[filter];
                if (g.rectify && value <= 0.f) value = 0.f;
            }
            y[pixel.place + filter * g.plane] = value;
        }
    }
}

// tensor_conv_<pixels>x<filters>: grid (pixel tiles x phases x filter tiles, 1, splits).
#define TENSOR_CONV(PIXELS, FILTERS, WARP_PIXELS, WARP_FILTERS, THREADS, BLOCKS)                                              \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) tensor_conv_##PIXELS##x##FILTERS(                           \
        const float* x, const float* packed, const float* bias, float* y, const Place* taps, const Phase* phases, Geometry g, \
        int first_row, int first_column) {                                                                                    \
        using Tile = Warps<PIXELS, FILTERS, WARP_PIXELS, WARP_FILTERS>;                                                       \
        convolve<Tile>(x, packed, bias, y, taps, phases, g, first_row, first_column);                                         \
    }
TENSOR_CONV(128, 128, 64, 64, 128, 2)
TENSOR_CONV(128, 96, 32, 96, 128, 2)
TENSOR_CONV(128, 64, 32, 64, 128, 3)
TENSOR_CONV(64, 64, 32, 32, 128, 4)
TENSOR_CONV(128, 32, 32, 32, 128, 4)

// The weights w[filter * filter_step + taps[tap].weight], rounded to TF32, in the order of B: packed[step][filter][16], tap k
// of a step at 4 * (k % 4) + k / 4 % 2 + k / 8 * 2; zeros where taps or filters fill up. One thread for each number.
extern "C" __global__ void __launch_bounds__(256) pack_rounded(const float* __restrict__ w, float* __restrict__ packed,
                                                                const Tap* __restrict__ taps, int count, int filters,
                                                                int filter_step, int pitch) {
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= unsigned(count)) return;
    const int at = index % DEPTH, filter = index / DEPTH % pitch, step = index / DEPTH / pitch;
    const int weight = taps[step * DEPTH + at / 4 + at % 2 * 4 + at / 2 % 2 * 8].weight;
    packed[index] = weight >= 0 && filter < filters ? __uint_as_float(to_tf32(w[(size_t)filter * filter_step + weight])) : 0.f;
}
