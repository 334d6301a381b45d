"""The two loops around the microkernel: rows cut into tiles, lanes into panels, taps into blocks that stay in the cache.

`lanes_are_filters` serves the convolution and its transpose: a task is a chunk of output pixels (of all images in one list,
so that tiny maps fill their tiles with pixels of several images) times one panel of filters. Every output belongs to exactly
one task and its taps are added in one order, so the result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES, ROWS
from kernels.numba_cpu.microkernels import make_outer
from kernels.numba_cpu.packing import turn

outer_1, outer_2, outer_3, outer_4 = (make_outer(ROWS[vectors], vectors) for vectors in (1, 2, 3, 4))
ROWS_OF = np.array([0, *(ROWS[vectors] for vectors in (1, 2, 3, 4))])

TAP_BLOCK = 384
TILES = {vectors: max(1, 6912 // (rows * vectors * LANES)) for vectors, rows in ROWS.items()}
TILES_OF = np.array([0, *(TILES[vectors] for vectors in (1, 2, 3, 4))])


@piece
def outer(vectors, a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, sums, sums_at):
    """The microkernel with as many vectors as asked for."""
    if vectors == 3:
        outer_3(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, sums, sums_at)
    elif vectors == 4:
        outer_4(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, sums, sums_at)
    elif vectors == 2:
        outer_2(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, sums, sums_at)
    else:
        outer_1(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, sums, sums_at)


def panel_vectors(count):
    """How many vectors wide a panel should be for `count` filters: the least work wasted on lanes that hold no filter."""
    speed = {1: 0.80, 2: 0.95, 3: 1.0, 4: 0.99}
    return min(speed, key=lambda vectors: -(-count // (vectors * LANES)) * vectors / speed[vectors])


@piece
def pixel_addresses(first, count, x, y, x_at, y_at):
    """Where output pixels first .. first+count-1 of the list (n, p, q) read (x_at) and write (y_at).

    x and y are (rows per image, columns, start, step of n, step of p, step of q) as int64 tuples.
    """
    high, wide, x_start, x_n, x_p, x_q = x
    y_start, y_n, y_p, y_q = y
    for i in range(count):
        n, pixel = divmod(first + i, high * wide)
        p, q = divmod(pixel, wide)
        x_at[i] = x_start + n * x_n + p * x_p + q * x_q
        y_at[i] = y_start + n * y_n + p * y_p + q * y_q


@piece
def write_chunk(sums, width, pixels, y_at, image, filters, y, first_filter, filter_step):
    """Sums (pixels, width) go to y: lane k of pixel i to y_at[i] + (first_filter + k) * filter_step.

    `image`: pixels that lie side by side in y come in runs of this length (0: they do not lie side by side).
    """
    shift = first_filter * filter_step
    if filter_step == 1:
        for i in range(pixels):
            for k in range(filters):
                y[y_at[i] + shift + k] = sums[i * width + k]
        return
    i = 0
    while i < pixels:
        run = 1
        while i + run < pixels and y_at[i + run] == y_at[i] + run:
            run += 1
        if run >= 4:
            turn(sums, i * width, width, run, filters, y, y_at[i] + shift, filter_step)
        else:
            for m in range(i, i + run):
                for k in range(filters):
                    y[y_at[m] + shift + k * filter_step] = sums[m * width + k]
        i += run


@kernel
def lanes_are_filters(x, taps, panels, panel_taps, bias, y, filters, vectors, images, reads, writes, filter_step):
    """y[pixel, k] = bias[k] + sum over taps t of x[pixel + taps[t]] * panels[k's panel, t, k's lane].

    x: flat, padded. taps (T,) int32. panels (ceil(K / width), T, width) flat. bias (K,).
    reads, writes: see `pixel_addresses`. filter_step: distance in y between one filter's output and the next's.
    """
    width, rows = vectors * LANES, ROWS_OF[vectors]
    chunk = rows * TILES_OF[vectors]
    total = images * reads[0] * reads[1]
    chunks = (total + chunk - 1) // chunk
    count = taps.size
    for task in prange(chunks * ((filters + width - 1) // width)):
        panel, first = task // chunks, task % chunks * chunk
        lanes_are_filters_task(
            x, taps, panels, panel_taps, bias, y, filters, vectors, reads, writes, filter_step, panel, first,
            min(chunk, total - first), rows, width, count
        )  # fmt: skip


@piece
def lanes_are_filters_task(
    x, taps, panels, panel_taps, bias, y, filters, vectors, reads, writes, filter_step, panel, first, pixels, rows, width, count
):
    tiles = (pixels + rows - 1) // rows
    x_at, y_at = np.empty(tiles * rows, np.int64), np.empty(tiles * rows, np.int64)
    pixel_addresses(first, pixels, reads, writes, x_at, y_at)
    # the last tile is filled up with the last pixel; those sums are not written
    x_at[pixels:] = x_at[pixels - 1]
    present = min(width, filters - panel * width)
    sums = np.zeros(tiles * rows * width, np.float32)
    for i in range(pixels):
        for k in range(present):
            sums[i * width + k] = bias[panel * width + k]
    for block in range(0, count, TAP_BLOCK):
        length = min(TAP_BLOCK, count - block)
        for tile in range(tiles):
            outer(
                vectors, x, 0, taps, block, x_at, tile * rows, panels, panel * count * width, panel_taps, block, length,
                sums, tile * rows * width
            )  # fmt: skip
    write_chunk(sums, width, pixels, y_at, 0, present, y, panel * width, filter_step)
