// Convolution and its adjoint as one matrix product that nobody writes down (implicit GEMM), in fp32 on the CUDA cores.
//
//     rows     output pixels (n, i, j), neighbours next to each other     A [pixel][tap]   = input[pixel + tap], 0 in the padding
//     columns  output maps                                                B [tap][filter]  = packed weights
//     sums     over taps (map, row, column), eight in a step              tile.cuh says how a block multiplies
//
// A would be R * S times larger than the input, so it is never stored: every step brings 8 taps of the block's pixels from the input
// into shared memory. Where a tap lies comes from a table (geometry.cuh), so the loop has no division and knows neither stride nor
// filter size. A thread brings numbers for one pixel only: its address and row and column stay in registers.
//
// The filters are packed before (packing.cu): [tap][filter], neighbours next to each other, zeros where a tap or a filter fills up.
// Then a step of B is 16-byte copies without any condition.
#include "geometry.cuh"
#include "tile.cuh"

// `source.copy(place, pixel, tap, g)` puts one number of the input, or 0, where `place` in shared memory says.
template <int BM, int BN, int NT, class Source>
__device__ __forceinline__ void convolve(
    const Source& source, const float* __restrict__ packed, const float* __restrict__ bias, float* __restrict__ y,
    const Tap* __restrict__ taps, const Phase* __restrict__ phases, const Geometry& g) {
    using Sums = Tile<BM, BN, NT>;
    __shared__ __align__(16) float a[STAGES][STEP][BM];
    __shared__ __align__(16) float b[STAGES][STEP][BN];
    __shared__ int places[BM];

    const int t = threadIdx.x;
    const Phase phase = phases[blockIdx.x % g.phases];  // phases of one region run side by side: they share input and cache lines
    const unsigned first_pixel = blockIdx.x / g.phases * BM;
    if (first_pixel >= unsigned(g.images * phase.rows * phase.columns)) return;  // a phase with fewer rows than the first
    const int first_filter = blockIdx.y * BN;
    const Share share = share_of(phase, blockIdx.z, g.splits);

    constexpr int TAPS_EACH = BM * STEP / Sums::THREADS;
    const int own_row = t % BM, own_tap = t / BM * TAPS_EACH;  // copies a[own_tap ...][own_row]
    const Pixel pixel = locate(first_pixel + own_row, phase, g);
    if (own_tap == 0) places[own_row] = pixel.place;
    const Tap* next_taps = taps + share.first_tap + own_tap;
    constexpr int TOGETHER = NT > 8 ? 4 : TAPS_EACH;  // a tap takes four registers until its copy is started
    constexpr int AT_ONCE = Sums::THREADS >= BN * 2 ? STEP : STEP / 2;  // taps of b that the threads copy at once, 16 bytes each
    const int b_tap = t / (BN / 4), b_column = t % (BN / 4) * 4;        // copies b[b_tap, b_tap + AT_ONCE][b_column ... + 3]
    const float* next_weights = packed + (size_t)(share.first_tap + b_tap) * g.pitch + first_filter + b_column;

    Sums tile;
    sum_steps<BM, BN>(tile, share.steps, a[0][0], b[0][0], [&](int stage) {
#pragma unroll TOGETHER
        for (int i = 0; i < TAPS_EACH; ++i)
            source.copy(&a[stage][own_tap + i][own_row], pixel, next_taps[i], g);
        if (Sums::THREADS == AT_ONCE * (BN / 4) || b_tap < AT_ONCE)
#pragma unroll
            for (int i = 0; i < STEP; i += AT_ONCE) cp_async<16>(&b[stage][b_tap + i][b_column], next_weights + i * g.pitch);
        next_taps += STEP;
        next_weights += STEP * g.pitch;
    });
    __syncthreads();  // places, where there was no step

    if (g.splits > 1) y += (size_t)blockIdx.z * g.images * g.filters * g.plane;
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        const int filter = first_filter + tile.column_of(j);
        if (filter >= g.filters) continue;
        const float shift = bias && g.splits == 1 ? bias[filter] : 0.f;
        float value[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            value[i] = tile.sums[i][j] + shift;
            if (g.rectify && g.splits == 1 && value[i] <= 0.f) value[i] = 0.f;
        }
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
            if (g.aligned) {
                const int place = places[tile.row_of(i)];
                if (place >= 0)
                    *(float4*)&y[place + filter * g.plane] = make_float4(value[i], value[i + 1], value[i + 2], value[i + 3]);
                continue;
            }
#pragma unroll
            for (int e = i; e < i + 4; ++e) {
                const int place = places[tile.row_of(e)];
                if (place >= 0) y[place + filter * g.plane] = value[e];
            }
        }
    }
}
