// Max pooling that remembers where each maximum came from.
//
//     x (planes, H, W)                     shared memory                  y, switches (planes, P, Q)
//     . . . . . . . . . .
//     . . . . . . . . . .   one band,      [. . . .][. . . .] ...         a thread looks through one window (here 3x3, stride 2),
//     # # # # # # # # # #   16 bytes       [. . . .][. . . .] ...   -->   then through the next but 255: the maximum, and its
//     # # # # # # # # # #   at a time      [. . . .][. . . .] ...         place in the window, 0 ... 8
//     # # # # # # # # # #   -->
//
// Overlapping windows share numbers, so a block first copies the rows its windows see into shared memory: every number of x is
// asked of memory once (but for a row or two where bands meet), in full 16-byte pieces. A band has as many rows, or whole planes, as
// fit in the share of shared memory that keeps eight blocks resident on a multiprocessor: while some wait, others compute.
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
    int place;  // row-major in the window, of which `across` places make a row

    __device__ __forceinline__ Winner(int top, int left, int across)
        : value(__int_as_float(0xff800000)), place(max(0, -top) * across + max(0, -left)) {}

    __device__ __forceinline__ void look(float other, int at) {
        if (!(other <= value) && value == value) value = other, place = at;  // larger, or the first NaN
    }

    __device__ __forceinline__ void rectify(const Winner& first) {
        if (value <= 0.f) value = 0.f, place = first.place;
    }
};

// One band a block: output rows [first_row, first_row + rows_each) of one plane, or all rows of `planes_each` planes.
template <int SIZE, int STRIDE>
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

    const int cells = tables * rows * out_width;
    const size_t out = (size_t)(first_plane * out_height + first_row) * out_width;
    const Place step(THREADS, rows, out_width);
    Place at(threadIdx.x, rows, out_width);
    for (int cell = threadIdx.x; cell < cells; cell += THREADS, at.move(step, rows, out_width)) {
        const int i = (first_row + at.row) * STRIDE - pad_height, j = at.column * STRIDE - pad_width;
        const float* window = band + (at.table * (bottom - top) + i - top) * width + j;
        const Winner first(i, j, SIZE);
        Winner winner = first;
#pragma unroll
        for (int r = 0; r < SIZE; ++r)
#pragma unroll
            for (int s = 0; s < SIZE; ++s)
                if ((unsigned)(i + r) < height && (unsigned)(j + s) < width) winner.look(window[r * width + s], r * SIZE + s);
        if (rectify) winner.rectify(first);
        y[out + cell] = winner.value;
        switches[out + cell] = (unsigned char)winner.place;
    }
}

#define MAXPOOL(name, SIZE, STRIDE)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, 8) name(                                                             \
        const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ switches, int planes, int height,      \
        int width, int out_height, int out_width, int pad_height, int pad_width, int planes_each, int rows_each, int rectify) { \
        pool_bands<SIZE, STRIDE>(x, y, switches, planes, height, width, out_height, out_width, pad_height, pad_width,          \
                                 planes_each, rows_each, rectify);                                                             \
    }

MAXPOOL(maxpool2d_3x3_stride2, 3, 2)
MAXPOOL(maxpool2d_2x2_stride2, 2, 2)

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
        const Winner first(i, j, size_width);
        Winner winner = first;
        for (int r = max(0, -i); r < min(size_height, height - i); ++r)
            for (int s = max(0, -j); s < min(size_width, width - j); ++s)
                winner.look(map[(i + r) * width + j + s], r * size_width + s);
        if (rectify) winner.rectify(first);
        y[cell] = winner.value;
        switches[cell] = (unsigned char)winner.place;
    }
}
