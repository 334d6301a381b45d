"""The gradient of a convolution for its filters, in two passes.

    dw[k, t] = sum over n,p,q of  dy[n, k, p, q] * x[n, t.map, p*stride_h + t.row, q*stride_w + t.column]

As a matrix product: rows are filters, columns are taps (c, r, s), the depth is the positions (p, q) of all images. Rows and
columns are few and the depth is long, so the depth is cut into parts, enough to fill a GPU, and a second pass adds the parts in
order: no atomics, the same bits every time.
"""

from functools import cache

from numba import float32, int32, uint32

from kernels.backends import Array
from kernels.cuda import geometry
from kernels.cuda.geometry import Sides
from kernels.numba_cuda.bounds import smaller
from kernels.numba_cuda.convolution import COLUMN, OFFSET, ROW, TAP_NUMBERS, tap_table
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda
from kernels.numba_cuda.products import add_parts
from kernels.numba_cuda.tiles import DEPTH, Tile, choose, multiply, parts

LEAST_STEPS = 4


@cache
def weight_gradient(tile: Tile):
    """The kernel for one tile size: a block sums its part of the depth for rows x columns weights."""
    ROWS, COLUMNS, THREADS = tile.rows, tile.columns, tile.threads
    THREAD_ROWS, THREAD_COLUMNS = tile.thread_rows, tile.thread_columns
    ROW_STEP, COLUMN_STEP = ROWS // THREAD_ROWS, COLUMNS // THREAD_COLUMNS
    LEFT_WIDTH, RIGHT_WIDTH = ROWS + 4, COLUMNS + 4
    LOAD_STEP = THREADS // DEPTH  # how many filters, or taps, the threads read at once
    multiply_step = multiply(tile)

    def weight_grad_tile(
        x, dy, dw, taps, pixels, part_pixels, maps, height, width, step_h, step_w, filters, weights, out_height, out_width
    ):  # fmt: skip
        left = cuda.shared.array((DEPTH, LEFT_WIDTH), float32)  # dy
        right = cuda.shared.array((DEPTH, RIGHT_WIDTH), float32)  # x at each tap
        sums = cuda.local.array((THREAD_ROWS, THREAD_COLUMNS), float32)
        thread = uint32(cuda.threadIdx.x)
        first_filter, first_tap = int32(cuda.blockIdx.y * ROWS), int32(cuda.blockIdx.x * COLUMNS)
        first, end = int32(cuda.blockIdx.z * part_pixels), smaller(pixels, (cuda.blockIdx.z + 1) * part_pixels)
        row, column = thread // COLUMN_STEP, thread % COLUMN_STEP
        plane = int32(out_height * out_width)
        d = thread % DEPTH  # which of a step's positions this thread reads for, always the same
        for i in range(THREAD_ROWS):
            for j in range(THREAD_COLUMNS):
                sums[i, j] = float32(0)
        for step in range(first, end, int32(DEPTH)):
            pixel = int32(step + d)
            n, place = pixel // plane, pixel % plane
            top = int32(place // out_width * step_h)
            start = int32(place % out_width * step_w)
            base = int32((n * maps * height + top) * width + start)
            for more in range(0, ROWS, LOAD_STEP):
                f = thread // DEPTH + more
                value = float32(0)
                if pixel < end and first_filter + f < filters:
                    value = dy[uint32((n * filters + first_filter + f) * plane + place)]
                if f < ROWS:
                    left[d, f] = value
            for more in range(0, COLUMNS, LOAD_STEP):
                c = thread // DEPTH + more
                value = float32(0)
                if pixel < end and first_tap + c < weights:
                    tap = uint32((first_tap + c) * TAP_NUMBERS)
                    i, j = int32(top + taps[tap + ROW]), int32(start + taps[tap + COLUMN])
                    if i >= 0 and i < height and j >= 0 and j < width:
                        value = x[uint32(base + taps[tap + OFFSET])]
                right[d, c] = value
            cuda.syncthreads()
            multiply_step(left, right, sums, row, column)
            cuda.syncthreads()
        for i in range(THREAD_ROWS):
            for j in range(THREAD_COLUMNS):
                f, tap = int32(first_filter + row + i * ROW_STEP), int32(first_tap + column + j * COLUMN_STEP)
                if f < filters and tap < weights:
                    dw[uint32((cuda.blockIdx.z * filters + f) * weights + tap)] = sums[i, j]

    return weight_grad_tile


def conv2d_weight_grad(device: Device, x: Array, dy: Array, stride: Sides, pad: Sides, filter_size: Sides) -> Array:
    """x (N,C,H,W), dy (N,K,P,Q) -> dw (K,C,R,S)."""
    (images, maps, *size), (_, filters, *out) = x.shape, dy.shape
    weights, pixels = maps * filter_size[0] * filter_size[1], images * out[0] * out[1]
    dw = device.empty((filters, maps, *filter_size))
    plan = geometry.forward(maps, tuple(size), filters, filter_size, stride, pad, tuple(out))
    taps = device.table(("taps", plan.key), lambda: tap_table(plan))
    tile = choose(device.tiles, filters, weights)
    across, down = tile.blocks(filters, weights)
    steps = -(-pixels // DEPTH)
    part_steps = max(1, -(-steps // parts(across * down, steps, LEAST_STEPS)))
    count = -(-steps // part_steps)
    partial = dw if count == 1 else device.empty((count, *dw.shape))
    if count:
        numbers = pixels, part_steps * DEPTH, maps, *size, *stride, filters, weights, *out
        arrays = x.reshape(-1), dy.reshape(-1), partial.reshape(-1), taps
        device.launch(weight_gradient(tile), (across, down, count), tile.threads, *arrays, *numbers)
    if count != 1:  # none: no images, zeros
        flat = dw.reshape(-1)
        device.elementwise(add_parts, dw.size, partial.reshape(-1), flat, flat, count, 1, False)
    return dw
