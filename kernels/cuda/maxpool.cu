// Max pooling that remembers where each maximum came from.
//
//     x (planes, H, W)                     shared memory                  y, switches (planes, P, Q)
//     . . . . . . . . . .
//     . . . . . . . . . .   one band,      [. . . .][. . . .] ...         a thread looks through a tower of TALL windows, one below
//     # # # # # # # # # #   16 bytes       [. . . .][. . . .] ...   -->   the other (here 3x3, stride 2): the maximum of each, and
//     # # # # # # # # # #   at a time      [. . . .][. . . .] ...         its place in the window, 0 ... 8
//     # # # # # # # # # #   -->
//
// Overlapping windows share numbers, so a block first copies the rows its windows see into shared memory: every number of x is
// asked of memory once (but for a row or two where bands meet), in full 16-byte pieces. A tower takes the best of each row once, for
// both windows that the row lies in. A band has as many rows, or whole planes, as fit in the share of shared memory that keeps eight
// blocks resident on a multiprocessor: while some wait, others compute.
//
// The first in row-major order wins a tie: only a larger number replaces the winner. NaN beats all, the first NaN wins.
// Padding never wins: the winner starts as -infinity at the first place inside the map, and places outside are not looked at.
// Rectifying first and pooling then gives the same as pooling first: only where the maximum is not positive all places tie.
//
// Bytes of memory traffic an output: 3x3 or 2x2 with stride 2: 16 read, 4 + 1 written.

#include "band.cuh"

#define THREADS 256

struct Winner {
    float value;
    int place;

    __device__ __forceinline__ void look(float other, int at) {
        if (!(other <= value) && value == value) value = other, place = at;  // larger, or the first NaN
    }

    __device__ __forceinline__ void rectify(const Winner& first) {
        if (value <= 0.f) value = 0.f, place = first.place;
    }
};

// -infinity at the first place inside the map, of a window that begins at row `top`, column `left`, `across` places wide.
__device__ __forceinline__ Winner nobody(int top, int left, int across) {
    return {__int_as_float(0xff800000), max(0, -top) * across + max(0, -left)};
}

// One band a block: output rows [first_row, first_row + rows_each) of one plane, or all rows of `planes_each` planes.
template <int SIZE, int STRIDE, int TALL>
__device__ __forceinline__ void pool_bands(
    const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ switches, int planes, int height, int width,
    int out_height, int out_width, int pad_height, int pad_width, int planes_each, int rows_each, int rectify) {
    DYN_SHARED(float, shared);
    const int bands = (out_height + rows_each - 1) / rows_each;  // of a plane
    const int first_plane = blockIdx.x / bands * planes_each, first_row = blockIdx.x % bands * rows_each;
    const int tables = min(planes_each, planes - first_plane), rows = min(rows_each, out_height - first_row);
    const int top = bands == 1 ? 0 : max(0, first_row * STRIDE - pad_height);
    const int bottom = bands == 1 ? height : min(height, (first_row + rows - 1) * STRIDE - pad_height + SIZE);
    const float* from = x + (size_t)(first_plane * height + top) * width;
    float* band = shared + shift_of(from);
    fetch_band(band, from, tables * (bottom - top) * width);  // several planes only where they are whole

    const int tower_rows = (rows + TALL - 1) / TALL, towers = tables * tower_rows * out_width;
    const Place step(THREADS, tower_rows, out_width);
    Place at(threadIdx.x, tower_rows, out_width);
    for (int tower = threadIdx.x; tower < towers; tower += THREADS, at.move(step, tower_rows, out_width)) {
        const int p = first_row + at.row * TALL, i = p * STRIDE - pad_height, j = at.column * STRIDE - pad_width;
        const float* corner = band + (at.table * (bottom - top) + i - top) * width + j;
        Winner winners[TALL];
#pragma unroll
        for (int t = 0; t < TALL; ++t) winners[t] = nobody(i + t * STRIDE, j, SIZE);
#pragma unroll
        for (int row = 0; row < (TALL - 1) * STRIDE + SIZE; ++row) {
            if ((unsigned)(i + row) >= bottom) continue;  // above the map, below it, or below what the band holds
            Winner best = nobody(0, 0, SIZE);  // of this row: every window it lies in gets the best of its SIZE places
#pragma unroll
            for (int s = 0; s < SIZE; ++s)
                if ((unsigned)(j + s) < width) best.look(corner[row * width + s], s);
#pragma unroll
            for (int t = 0; t < TALL; ++t) {
                const int r = row - t * STRIDE;
                if (r >= 0 && r < SIZE) winners[t].look(best.value, r * SIZE + best.place);
            }
        }
        const int out = ((first_plane + at.table) * out_height + p) * out_width + at.column;
#pragma unroll
        for (int t = 0; t < TALL; ++t) {
            if (p + t >= first_row + rows) break;
            if (rectify) winners[t].rectify(nobody(i + t * STRIDE, j, SIZE));
            y[out + t * out_width] = winners[t].value;
            switches[out + t * out_width] = (unsigned char)winners[t].place;
        }
    }
}

#define MAXPOOL(name, SIZE, STRIDE, TALL)                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS, 8) name(                                                             \
        const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ switches, int planes, int height,      \
        int width, int out_height, int out_width, int pad_height, int pad_width, int planes_each, int rows_each, int rectify) { \
        pool_bands<SIZE, STRIDE, TALL>(x, y, switches, planes, height, width, out_height, out_width, pad_height, pad_width,    \
                                       planes_each, rows_each, rectify);                                                       \
    }

MAXPOOL(maxpool2d_3x3_stride2, 3, 2, 4)
MAXPOOL(maxpool2d_2x2_stride2, 2, 2, 1)

// Any window, any width, straight from global memory: what windows share comes from the caches. `each` outputs a thread.
extern "C" __global__ void __launch_bounds__(THREADS) maxpool2d_any(
    const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ switches, int planes, int height, int width,
    int out_height, int out_width, int size_height, int size_width, int stride_height, int stride_width, int pad_height,
    int pad_width, int each, int rectify) {
    const unsigned cells = (unsigned)planes * out_height * out_width, begin = blockIdx.x * (THREADS * each) + threadIdx.x;
    const Place step(THREADS, out_height, out_width);
    Place at(begin, out_height, out_width);
    unsigned cell = begin;
    for (int k = 0; k < each && cell < cells; ++k, cell += THREADS, at.move(step, out_height, out_width)) {
        const int i = at.row * stride_height - pad_height, j = at.column * stride_width - pad_width;
        const float* map = x + (size_t)at.table * height * width;
        const Winner first = nobody(i, j, size_width);
        Winner winner = first;
        for (int r = max(0, -i); r < min(size_height, height - i); ++r)
            for (int s = max(0, -j); s < min(size_width, width - j); ++s)
                winner.look(map[(i + r) * width + j + s], r * size_width + s);
        if (rectify) winner.rectify(first);
        y[cell] = winner.value;
        switches[cell] = (unsigned char)winner.place;
    }
}
