// Unpooling: every value back at the place its switch names, zero elsewhere. In gather form: nobody scatters, so nobody collides.
//
//     windows (3x3, stride 2)            a thread's cell: STRIDE x STRIDE positions of x (shown: TALL = 2 cells, one below the other)
//
//      p-1 |--a--|                       + - +      A position asks the windows that cover it, "does your switch name me?", in
//      p       |--b--|                   | a |      row-major order, and adds up, or takes, what they say. Which windows can
//      p+1         |--c--|               |a b|      cover the positions of a cell is known when the file is compiled: for 3x3
//                                        + - +      with stride 2 the 2x2 windows around it. Their values and switches are read
//                                        | b |      once into registers and serve all positions of both cells.
//                                        |b c|
//                                        + - +
//
// The results are laid into a band of shared memory (band.cuh) and go out 16 bytes at a time, whatever the width of x is.
// No atomics: the order of a sum is fixed, two runs give the same bits. Every position is written, so x need not be cleared.
//
// Rules for positions that several windows name: 0 sum, 1 max (a NaN beats all), 2 mean, 3 last. Where windows do not overlap
// (2x2 with stride 2) they are all the same.
//
// Bytes of memory traffic a position, stride 2: (4 + 1) / 4 read, 4 written. A switch that names a place in the padding is never
// asked for.

#include "band.cuh"
#include "gathered.cuh"

#define THREADS 256
#define TALL 2  // cells of a thread, one below the other: they share windows

// One band a block: tower rows [first_row, first_row + rows_each) of one plane, or all of `planes_each` planes. A tower is TALL
// cells; position (i, j) of x lies in tower ((i + pad_height) / (TALL * STRIDE), (j + pad_width) / STRIDE).
template <int SIZE, int STRIDE, int RULE>
__device__ __forceinline__ void unpool_bands(
    const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x, int planes, int height,
    int width, int out_height, int out_width, int pad_height, int pad_width, int planes_each, int rows_each, int rectify) {
    constexpr int REACH = (SIZE - 1) / STRIDE;            // how many windows before its own also cover a cell
    constexpr int DOWN = TALL + REACH, ACROSS = 1 + REACH;  // the windows of a tower
    constexpr int STEP = TALL * STRIDE;                   // positions of a tower, downwards
    DYN_SHARED(float, shared);
    const int tower_rows = (height + pad_height + STEP - 1) / STEP, tower_columns = (width + pad_width + STRIDE - 1) / STRIDE;
    const int bands = (tower_rows + rows_each - 1) / rows_each;  // of a plane
    const int first_plane = blockIdx.x / bands * planes_each, first_row = blockIdx.x % bands * rows_each;
    const int tables = min(planes_each, planes - first_plane), rows = min(rows_each, tower_rows - first_row);
    const int top = max(0, first_row * STEP - pad_height), bottom = min(height, (first_row + rows) * STEP - pad_height);
    float* to = x + (size_t)(first_plane * height + top) * width;
    float* band = shared + shift_of(to);

    const int towers = tables * rows * tower_columns;
    const Place step(THREADS, rows, tower_columns);
    Place at(threadIdx.x, rows, tower_columns);
    for (int tower = threadIdx.x; tower < towers; tower += THREADS, at.move(step, rows, tower_columns)) {
        const int p = (first_row + at.row) * TALL - REACH, q = at.column - REACH;  // the first window
        const int i = (first_row + at.row) * STEP - pad_height, j = at.column * STRIDE - pad_width;  // the first position
        float value[DOWN][ACROSS];
        int place[DOWN][ACROSS];
#pragma unroll
        for (int m = 0; m < DOWN; ++m)
#pragma unroll
            for (int n = 0; n < ACROSS; ++n) {
                const bool exists = (unsigned)(p + m) < out_height && (unsigned)(q + n) < out_width;
                const int source = ((first_plane + at.table) * out_height + p + m) * out_width + q + n;
                value[m][n] = exists ? y[source] : 0.f;
                place[m][n] = exists ? switches[source] : -1;  // names nothing
            }
        float* cell = band + (at.table * (bottom - top) + i - top) * width + j;
#pragma unroll
        for (int down = 0; down < STEP; ++down)
#pragma unroll
            for (int across = 0; across < STRIDE; ++across) {
                Gathered gathered{RULE};
#pragma unroll
                for (int m = 0; m < DOWN; ++m)
#pragma unroll
                    for (int n = 0; n < ACROSS; ++n) {
                        const int r = down - (m - REACH) * STRIDE, s = across - (n - REACH) * STRIDE;  // its place in window (m, n)
                        if (r >= 0 && r < SIZE && s >= 0 && s < SIZE && place[m][n] == r * SIZE + s) gathered.take(value[m][n]);
                    }
                if ((unsigned)(i + down) < height && (unsigned)(j + across) < width)
                    cell[down * width + across] = gathered.result(rectify);
            }
    }
    store_band(to, band, tables * (bottom - top) * width);  // several planes only where they are whole
}

#define UNPOOL(name, SIZE, STRIDE, RULE)                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, 6) name(                                                               \
        const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x, int planes, int height,  \
        int width, int out_height, int out_width, int pad_height, int pad_width, int planes_each, int rows_each, int rectify) {  \
        unpool_bands<SIZE, STRIDE, RULE>(y, switches, x, planes, height, width, out_height, out_width, pad_height, pad_width,    \
                                         planes_each, rows_each, rectify);                                                       \
    }

UNPOOL(unpool2d_3x3_stride2_sum, 3, 2, SUM)
UNPOOL(unpool2d_3x3_stride2_max, 3, 2, MAX)
UNPOOL(unpool2d_3x3_stride2_mean, 3, 2, MEAN)
UNPOOL(unpool2d_3x3_stride2_last, 3, 2, LAST)
UNPOOL(unpool2d_2x2_stride2, 2, 2, SUM)

// Any window, any width: a thread asks the windows of one position at a time, `each` positions.
template <int RULE>
__device__ __forceinline__ void unpool_positions(
    const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x, int planes, int height,
    int width, int out_height, int out_width, int size_height, int size_width, int stride_height, int stride_width,
    int pad_height, int pad_width, int each, int rectify) {
    const unsigned cells = (unsigned)planes * height * width, begin = blockIdx.x * (THREADS * each) + threadIdx.x;
    const Place step(THREADS, height, width);
    Place at(begin, height, width);
    unsigned cell = begin;
    for (int k = 0; k < each && cell < cells; ++k, cell += THREADS, at.move(step, height, width)) {
        const int i = at.row + pad_height, j = at.column + pad_width, map = at.table * out_height * out_width;
        const int last_p = min(i / stride_height, out_height - 1), last_q = min(j / stride_width, out_width - 1);
        // the first windows that reach so far: size - 1 places before the position, rounded up to a multiple of the stride
        const int first_p = max(0, i - size_height + stride_height) / stride_height;
        const int first_q = max(0, j - size_width + stride_width) / stride_width;
        Gathered gathered{RULE};
        for (int p = first_p; p <= last_p; ++p)
            for (int q = first_q; q <= last_q; ++q) {
                const int source = map + p * out_width + q;
                if (switches[source] == (i - p * stride_height) * size_width + j - q * stride_width) gathered.take(y[source]);
            }
        x[cell] = gathered.result(rectify);
    }
}

#define UNPOOL_ANY(name, RULE)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, 6) name(                                                                 \
        const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x, int planes, int height, \
        int width, int out_height, int out_width, int size_height, int size_width, int stride_height, int stride_width,         \
        int pad_height, int pad_width, int each, int rectify) {                                                                 \
        unpool_positions<RULE>(y, switches, x, planes, height, width, out_height, out_width, size_height, size_width,           \
                               stride_height, stride_width, pad_height, pad_width, each, rectify);                              \
    }

UNPOOL_ANY(unpool2d_any_sum, SUM)
UNPOOL_ANY(unpool2d_any_max, MAX)
UNPOOL_ANY(unpool2d_any_mean, MEAN)
UNPOOL_ANY(unpool2d_any_last, LAST)
