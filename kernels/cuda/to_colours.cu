// The transposed convolution down to pixels: many maps in, three colours out, or one. With a tile of a matrix product (conv_fp32.cu)
// most of its columns would hold nothing.
//
//     outputs of a block: 16 x 32 positions (i, j) of each of PHASES phases, all colours       (stride 2: 32 x 64 pixels)
//
//       lanes  -> 32 columns          A lane has a column of eight positions, in all colours and phases: for stride 2 that is
//     +--------------------+          8 x 3 x 4 = 96 sums. Every phase is a convolution of stride 1 over dy with its own share of
//     | warp 0: 8 rows     |          the filter (geometry.py), and all read the same patch of dy: it lies in shared memory, a few
//     +--------------------+          maps at a time, while copies of the next few are under way. Taps below each other are a run:
//     | warp 1: 8 rows     |          eleven numbers for four taps (runs.cuh). Lanes read neighbours: no bank is asked twice. The
//     +--------------------+          weights of a tap are one float4, the same for all lanes.
//
// Weights lie as [group of phases][map][phase][filter column][filter row][4 colours], so a few maps' are one piece of memory.
// unpooled_to_colours computes the patch from pooled values and switches instead of copying it: each number once for a block.
//
// What the compiler makes of a run of four taps (NVRTC 13.0, sm_90, three colours): 96 multiply-adds, 11 reads of 4 bytes and 4 of 16
// from shared memory, 14 other instructions. No spills.
#include "runs.cuh"
#include "unpooled.cuh"

#define ROWS 16
#define COLUMNS 32
#define PITCH 48  // numbers in a row of the patch: COLUMNS and up to 16 more
#define THREADS 64

struct Dense {               // a phase
    int rows, columns;       // outputs of one image
    int place;               // where output (0, 0) lies in a plane
    int top, left;           // its first tap in the patch
    int high, wide;          // taps
    int weights;             // where its weights begin in those of a map, in floats
};
struct Downwards {
    int maps, height, width;               // of dy
    int colours, plane;                    // of the output
    int row_step, column_step;             // from one output of a phase to the next, in a plane
    int first_row, first_column;           // of the patch, seen from position (0, 0)
    int more_columns;                      // of the patch, beyond COLUMNS
    int patch_rows;
    int maps_each, weights_each;           // maps in shared memory at once; floats of weights for one
    int tiles_across, tiles;               // of one image
};

// The part of the input that a block keeps: `maps` maps from the first one on, each [patch_rows][PITCH], of which `columns` are used.
struct Patch {
    float* shared;
    int map, maps;            // counted through all images
    int row, column;          // of its corner in the input
    int rows, columns;
};

// Calls f(map, row, column) for every number of `maps` tables of rows x columns, shared out among the threads.
template <class F>
__device__ __forceinline__ void share_out(int maps, int rows, int columns, F f) {
    int column = threadIdx.x % columns, row = threadIdx.x / columns % rows, map = threadIdx.x / columns / rows;
    while (map < maps) {
        f(map, row, column);
        for (column += THREADS; column >= columns; column -= columns)
            if (++row == rows) row = 0, ++map;
    }
}

struct Stored {  // dy as it is
    const float* dy;
    __device__ __forceinline__ void bring(const Patch& patch, const Downwards& p) const {
        share_out(patch.maps, patch.rows, patch.columns, [&](int map, int row, int column) {
            const int i = patch.row + row, j = patch.column + column;
            const bool in = int(unsigned(i) < unsigned(p.height)) & int(unsigned(j) < unsigned(p.width));
            const float* const source = dy + ((patch.map + map) * p.height + i) * p.width + j;
            cp_async<4>(&patch.shared[(map * patch.rows + row) * PITCH + column], source, in);
        });
    }
};

struct Computed {  // dy = relu(unpool(y))
    Unpooled from;
    __device__ __forceinline__ void bring(const Patch& patch, const Downwards& p) const {
        const Pool& pool = from.pool;
        const bool papers = pool.size_h == 3 && pool.size_w == 3 && pool.stride_h == 2 && pool.stride_w == 2 && pool.rule == SUM;
        if (papers) return bring_cells(patch, p);
        share_out(patch.maps, patch.rows, patch.columns, [&](int map, int row, int column) {
            const int i = patch.row + row, j = patch.column + column;
            const bool in = unsigned(i) < unsigned(p.height) && unsigned(j) < unsigned(p.width);
            const int first = (patch.map + map) * pool.height * pool.width;
            patch.shared[(map * patch.rows + row) * PITCH + column] = in ? from.at(first, i, j) : 0.f;
        });
    }
    // The pooling of the paper, where windows meet the sum: four windows cover a cell of 2 x 2 positions and are read once for it.
    //
    //     window (u-1, v-1)  reaches  position (0, 0)              rows 2u - pad and 2u - pad + 1 are cell row u; window w begins at
    //     window (u-1, v)             (0, 0) and (0, 1)            row 2w - pad, so window u - 1 reaches the first of them with
    //     window (u, v)               all four                     its last row, r = 2
    __device__ __forceinline__ void bring_cells(const Patch& patch, const Downwards& p) const {
        const Pool& pool = from.pool;
        const int top = (patch.row + pool.pad_h) >> 1, left = (patch.column + pool.pad_w) >> 1;  // the first cell
        const int down = ((patch.row + patch.rows - 1 + pool.pad_h) >> 1) - top + 1;
        const int across = ((patch.column + patch.columns - 1 + pool.pad_w) >> 1) - left + 1;
        share_out(patch.maps, down, across, [&](int map, int u, int v) {
            float value[2][2];
            int place[2][2];
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int n = 0; n < 2; ++n) {
                    const int i = top + u - 1 + m, j = left + v - 1 + n;
                    const bool exists = int(unsigned(i) < unsigned(pool.height)) & int(unsigned(j) < unsigned(pool.width));
                    const int window = ((patch.map + map) * pool.height + i) * pool.width + j;
                    value[m][n] = exists ? from.y[window] : 0.f;
                    place[m][n] = exists ? from.switches[window] : -1;  // names nothing
                }
            const int i = (top + u) * 2 - pool.pad_h, j = (left + v) * 2 - pool.pad_w;
            float* const cell = &patch.shared[(map * patch.rows + i - patch.row) * PITCH + j - patch.column];
#pragma unroll
            for (int a = 0; a < 2; ++a)
#pragma unroll
                for (int b = 0; b < 2; ++b) {
                    Gathered gathered{SUM};
#pragma unroll
                    for (int m = 0; m < 2; ++m)
#pragma unroll
                        for (int n = 0; n < 2; ++n) {
                            const int r = a + (1 - m) * 2, s = b + (1 - n) * 2;  // where (a, b) lies in window (m, n)
                            if (r < 3 && s < 3 && place[m][n] == r * 3 + s) gathered.take(value[m][n]);
                        }
                    const bool in = int(unsigned(i + a) < unsigned(p.height)) & int(unsigned(j + b) < unsigned(p.width));
                    const unsigned row = i + a - patch.row, column = j + b - patch.column;
                    if (row < unsigned(patch.rows) && column < unsigned(patch.columns)) cell[a * PITCH + b] = in ? gathered.result(true) : 0.f;
                }
        });
    }
};

template <int COLOURS, int PHASES, class Source>
__device__ __forceinline__ void down(
    const Source& source, const float* __restrict__ packed, float* __restrict__ dx, const Dense* __restrict__ phases,
    const Downwards& p) {
    DYN_SHARED(float, shared);
    __shared__ Dense own[PHASES];
    const int t = threadIdx.x, lane = t % 32, warp = t / 32;
    const int image = blockIdx.x / p.tiles, tile = blockIdx.x % p.tiles;
    const int first_i = tile / p.tiles_across * ROWS, first_j = tile % p.tiles_across * COLUMNS;
    if (t < PHASES) own[t] = phases[blockIdx.y * PHASES + t];
    packed += (size_t)blockIdx.y * p.maps * p.weights_each;

    const int area = p.patch_rows * PITCH, buffer = p.maps_each * (p.weights_each + area);
    auto copy = [&](int first_map) {
        float* const weights = shared + first_map / p.maps_each % 2 * buffer;
        float* const patch = weights + p.maps_each * p.weights_each;
        const int maps = min(p.maps_each, p.maps - first_map);
        for (int i = t * 4; i < maps * p.weights_each; i += THREADS * 4)
            cp_async<16>(&weights[i], packed + (size_t)first_map * p.weights_each + i);
        const Patch piece{patch, image * p.maps + first_map, maps, first_i + p.first_row, first_j + p.first_column, p.patch_rows,
                          COLUMNS + p.more_columns};
        source.bring(piece, p);
        cp_async_commit();
    };

    float sums[PHASES][8][COLOURS] = {};
    copy(0);
    for (int first_map = 0; first_map < p.maps; first_map += p.maps_each) {
        if (first_map + p.maps_each < p.maps) copy(first_map + p.maps_each);
        else cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        const float* weights = shared + first_map / p.maps_each % 2 * buffer;
        const float* patch = weights + p.maps_each * p.weights_each + warp * 8 * PITCH + lane;
        const int maps = min(p.maps_each, p.maps - first_map);
        for (int map = 0; map < maps; ++map, weights += p.weights_each, patch += area) {
#pragma unroll
            for (int f = 0; f < PHASES; ++f) {
                const Dense phase = own[f];
                const float4* weight = (const float4*)(weights + phase.weights);
                const float* column = patch + phase.top * PITCH + phase.left;
                for (int s = 0; s < phase.wide; ++s, ++column)
                    for (int run = 0; run < phase.high; run += 4) {
                        const int taps = min(4, phase.high - run);
                        add_run(sums[f], column + run * PITCH, PITCH, taps, [&](int i, float(&w)[COLOURS]) {
                            const float4 four = weight[i];
                            const float each[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                            for (int c = 0; c < COLOURS; ++c) w[c] = each[c];
                        });
                        weight += taps;
                    }
            }
        }
        __syncthreads();
    }

    const int j = first_j + lane;
#pragma unroll
    for (int f = 0; f < PHASES; ++f) {
        if (j >= own[f].columns) continue;
#pragma unroll
        for (int e = 0; e < 8; ++e) {
            const int i = first_i + warp * 8 + e;
            if (i >= own[f].rows) break;
            float* const place = dx + (size_t)image * p.colours * p.plane + own[f].place + i * p.row_step + j * p.column_step;
#pragma unroll
            for (int c = 0; c < COLOURS; ++c)
                if (c < p.colours) place[c * p.plane] = sums[f][e][c];
        }
    }
}

// to_colours_<colours>x<phases>: grid (tiles of all images, groups of phases).
#define TO_COLOURS(COLOURS, PHASES, BLOCKS)                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) to_colours_##COLOURS##x##PHASES(                       \
        const float* dy, const float* packed, float* dx, const Dense* phases, Downwards p) {                             \
        down<COLOURS, PHASES>(Stored{dy}, packed, dx, phases, p);                                                        \
    }                                                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) unpooled_to_colours_##COLOURS##x##PHASES(              \
        const float* y, const unsigned char* switches, const Cover* covers, Pool pool, const float* packed, float* dx,   \
        const Dense* phases, Downwards p) {                                                                              \
        down<COLOURS, PHASES>(Computed{{y, switches, covers, covers + p.height, pool}}, packed, dx, phases, p);          \
    }
TO_COLOURS(1, 1, 8)
TO_COLOURS(1, 4, 8)
TO_COLOURS(3, 1, 8)
TO_COLOURS(3, 4, 6)
