"""conv2d, its adjoint and the deconvnet's step: one kernel, because all are the same sum over a table of taps.

    y[n,f,i,j] = b[f] + sum over taps t of  w[f * filter_step + t.weight] * x[n, t.map, i*step_h + t.row, j*step_w + t.column]

Forward, the taps are (c, r, s). Backward, the rows of dx fall into `stride` phases by which filter rows can reach them, and
each phase is a convolution of stride 1 over dy with its own taps: no thread adds to another's sum (see kernels.cuda.geometry).
As a matrix product: rows are filters, columns are the output positions of all images, the depth is the taps.
"""

from functools import cache

import numpy as np
from numba import float32, int32, uint32

from kernels.backends import Array
from kernels.cuda import geometry
from kernels.cuda.geometry import Plan, Sides
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda
from kernels.numba_cuda.tiles import DEPTH, Tile, choose, multiply
from kernels.numba_cuda.unpooling import RULES, pooling_table, unpooled
from kernels.sizes import conv_output_size

OFFSET, ROW, COLUMN, WEIGHT, MAP, TAP_NUMBERS = range(6)  # what `tap_table` says of a tap


@cache
def convolution(tile: Tile, unpools: bool):
    """The kernel for one tile size. `unpools`: x are pooled maps, unpooled and rectified as they are read."""
    ROWS, COLUMNS, THREADS = tile.rows, tile.columns, tile.threads
    THREAD_ROWS, THREAD_COLUMNS = tile.thread_rows, tile.thread_columns
    ROW_STEP, COLUMN_STEP = ROWS // THREAD_ROWS, COLUMNS // THREAD_COLUMNS
    LEFT_STEP, RIGHT_STEP = THREADS // DEPTH, THREADS // COLUMNS  # how far the threads reach in one load
    LEFT_WIDTH = ROWS + 4  # so that storing w, DEPTH numbers of a filter side by side, meets every bank once
    multiply_step = multiply(tile)

    def conv_tile(
        x, switches, pooling, rule, w, b, y, taps, phases,
        images, maps, height, width, step_h, step_w, filters, filter_step, plane, row_step, column_step, biased, rectify,
    ):  # fmt: skip
        left = cuda.shared.array((DEPTH, LEFT_WIDTH), float32)  # filters
        right = cuda.shared.array((DEPTH, COLUMNS), float32)  # x under the filters
        sums = cuda.local.array((THREAD_ROWS, THREAD_COLUMNS), float32)
        places = cuda.local.array(THREAD_COLUMNS, int32)  # in y, of the first filter; -1: no such position
        phase = uint32(cuda.blockIdx.z * 5)
        first_tap, depth, out_rows, out_columns = phases[phase], phases[phase + 1], phases[phase + 2], phases[phase + 3]
        pixels = int32(images * out_rows * out_columns)
        first_pixel = int32(cuda.blockIdx.x * COLUMNS)
        if first_pixel >= pixels:  # phases differ in size; the whole block leaves
            return
        thread = uint32(cuda.threadIdx.x)
        first_filter = int32(cuda.blockIdx.y * ROWS)
        row, column = thread // COLUMN_STEP, thread % COLUMN_STEP

        # the position that this thread reads for: (n, i, j), always column thread % COLUMNS of the tile
        pixel = int32(first_pixel + thread % COLUMNS)
        n, place = pixel // int32(out_rows * out_columns), pixel % int32(out_rows * out_columns)
        top = int32(place // out_columns * step_h)
        start = int32(place % out_columns * step_w)
        base = int32((n * maps * height + top) * width + start)

        for i in range(THREAD_ROWS):
            for j in range(THREAD_COLUMNS):
                sums[i, j] = float32(0)

        for step in range(int32(0), depth, int32(DEPTH)):
            d = thread % DEPTH
            weight = taps[uint32((first_tap + step + d) * TAP_NUMBERS + WEIGHT)]
            for more in range(0, ROWS, LEFT_STEP):
                f = thread // DEPTH + more
                value = float32(0)
                if first_filter + f < filters and weight >= 0:  # below 0: a tap that fills up the table
                    value = w[uint32((first_filter + f) * filter_step + weight)]
                if f < ROWS:
                    left[d, f] = value
            for more in range(0, DEPTH, RIGHT_STEP):
                d = thread // COLUMNS + more
                tap = uint32((first_tap + step + d) * TAP_NUMBERS)
                i, j = int32(top + taps[tap + ROW]), int32(start + taps[tap + COLUMN])
                value = float32(0)
                if pixel < pixels and i >= 0 and i < height and j >= 0 and j < width:
                    if unpools:
                        value = unpooled(x, switches, pooling, n * maps + taps[tap + MAP], i, j, rule)
                        if value <= float32(0):
                            value = float32(0)
                    else:
                        value = x[uint32(base + taps[tap + OFFSET])]
                right[d, thread % COLUMNS] = value
            cuda.syncthreads()
            multiply_step(left, right, sums, row, column)
            cuda.syncthreads()

        for j in range(THREAD_COLUMNS):
            pixel = int32(first_pixel + column + j * COLUMN_STEP)
            n, place = pixel // int32(out_rows * out_columns), pixel % int32(out_rows * out_columns)
            out = phases[phase + 4] + place // out_columns * row_step + place % out_columns * column_step
            places[j] = int32(n * filters * plane + out)
            if pixel >= pixels:
                places[j] = int32(-1)
        for i in range(THREAD_ROWS):
            f = int32(first_filter + row + i * ROW_STEP)
            bias = float32(0)
            if biased and f < filters:
                bias = b[uint32(f)]
            for j in range(THREAD_COLUMNS):
                value = sums[i, j] + bias
                if rectify and value <= float32(0):
                    value = float32(0)
                if places[j] >= 0 and f < filters:
                    y[uint32(places[j] + f * plane)] = value

    return conv_tile


def conv2d(device: Device, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides, rectify: bool = False) -> Array:
    """x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q), rectified on the way out if asked."""
    (_, maps, *size), (filters, _, *window) = x.shape, w.shape
    out = conv_output_size(tuple(size), tuple(window), stride, pad)
    plan = geometry.forward(maps, tuple(size), filters, tuple(window), stride, pad, out)
    return convolved(device, x, w, plan, b=b, rectify=rectify)


def conv2d_transpose(device: Device, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (_, filters, *small), (_, channels, *window) = dy.shape, w.shape
    return convolved(device, dy, w, geometry.transposed(filters, tuple(small), channels, tuple(window), stride, pad, size))


def deconv_step(
    device: Device,
    y: Array,
    switches: Array,
    pool_size: Sides,
    pool_stride: Sides,
    pool_pad: Sides,
    w: Array,
    stride: Sides,
    pad: Sides,
    size: Sides,
    collisions: str,
) -> Array:
    """y, switches (N,K,P',Q'), w (K,C,R,S) -> dx (N,C,H,W): unpooled and rectified in the loads of the adjoint."""
    filters, channels, *window = w.shape
    maps = conv_output_size(size, tuple(window), stride, pad)
    plan = geometry.transposed(filters, maps, channels, tuple(window), stride, pad, size)
    pooling = pooling_table(device, y.shape[2:], pool_size, pool_stride, pool_pad)
    return convolved(device, y, w, plan, unpooling=(switches.reshape(-1), pooling, RULES[collisions]))


def convolved(
    device: Device,
    x: Array,
    w: Array,
    plan: Plan,
    unpooling: tuple[Array, Array, int] | None = None,
    b: Array | None = None,
    rectify: bool = False,
) -> Array:
    """What `plan` describes, (N, plan.filters, *plan.out_size)."""
    images, plane = len(x), plan.out_size[0] * plan.out_size[1]
    y = device.empty((images, plan.filters, *plan.out_size))
    if not images:
        return y
    tile = choose(device.tiles, plan.filters, plan.pixels(images))
    taps = device.table(("taps", plan.key), lambda: tap_table(plan))
    phases = device.table(("phases", plan.key), lambda: plan.phases.view(np.int32))
    flat, weights = x.reshape(-1), w.reshape(-1)
    no_switches = device.table(("no switches",), lambda: np.zeros(1, np.uint8))
    switches, pooling, rule = unpooling or (no_switches, pooling_table(device, *[(1, 1)] * 4), 0)
    device.launch(
        convolution(tile, unpooling is not None),
        (*tile.blocks(plan.filters, plan.pixels(images)), len(plan.phases)),
        tile.threads,
        *(flat, switches, pooling, rule, weights, weights if b is None else b, y.reshape(-1), taps, phases),
        *(images, plan.maps, *plan.size, *plan.step, plan.filters, plan.filter_step, plane),
        *(plan.out_step[0] * plan.out_size[1], plan.out_step[1], b is not None, rectify),
    )
    return y


def tap_table(plan: Plan) -> np.ndarray:
    """TAP_NUMBERS for each tap, one tap after the other."""
    offset, row, column, weight = (plan.taps[name] for name in ("offset", "row", "column", "weight"))
    maps = (offset - row * plan.size[1] - column) // (plan.size[0] * plan.size[1])
    return np.stack([offset, row, column, weight, maps], axis=1).reshape(-1)
