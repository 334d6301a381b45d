"""The two loops around the microkernel: rows cut into tiles, lanes into panels, taps into blocks that stay in the cache.

`lanes_are_filters` serves the convolution and its transpose: a task is a chunk of output pixels (of all images in one list,
so that tiny maps fill their tiles with pixels of several images) times one panel of filters. Every output belongs to exactly
one task and its taps are added in one order, so the result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import ZERO, kernel, piece
from kernels.numba_cpu.machine import LANES, ROWS
from kernels.numba_cpu.memory import LINE
from kernels.numba_cpu.microkernels import make_outer
from kernels.numba_cpu.moves import prefetch_to_write
from kernels.numba_cpu.packing import copy, fetch, turn

outer_1, outer_2, outer_3, outer_4 = (make_outer(ROWS[vectors], vectors) for vectors in (1, 2, 3, 4))
ROWS_OF = np.array([0, *(ROWS[vectors] for vectors in (1, 2, 3, 4))])

TAP_BLOCK = 256  # at most
LEAST_TASKS = 8  # so that every core gets its share
# as many tiles as keep their sums in the first-level cache, and a chunk of pixels that is a multiple of LANES
TILES_OF = np.array([0, *(max(1, 432 // (rows * vectors)) // 4 * 4 or 1 for vectors, rows in sorted(ROWS.items()))])


@piece
def outer(
    vectors, a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, start, start_at, step, sums, sums_at
):
    """The microkernel with as many vectors as asked for."""
    if vectors == 3:
        outer_3(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, start, start_at, step, sums, sums_at)
    elif vectors == 4:
        outer_4(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, start, start_at, step, sums, sums_at)
    elif vectors == 2:
        outer_2(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, start, start_at, step, sums, sums_at)
    else:
        outer_1(a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, start, start_at, step, sums, sums_at)


def panel_vectors(count):
    """How many vectors wide a panel should be for `count` filters: the least work wasted on lanes that hold no filter."""
    speed = {1: 0.80, 2: 0.95, 3: 1.0, 4: 0.99}
    return min(speed, key=lambda vectors: -(-count // (vectors * LANES)) * vectors / speed[vectors])


@kernel
def lanes_are_filters(
    x, taps, panels, panel_taps, panel_step, bias, y, filters, vectors, images, reads, writes, filter_step, rectify
):
    """y[pixel, k] = bias[k] + sum over taps t of x[pixel + taps[t]] * panels[k's panel, t, k's lane].

    x: flat, padded. taps (T,) int32. bias (ceil(K / width) * width,). panels: number k of tap t lies in place
    k // width * panel_step + panel_taps[t] + k % width; packed, (ceil(K / width), T, width) flat.
    reads: (rows and columns of output pixels in an image, step in x from one image to the next, one row, one column,
        and how many maps an image in x has; 0: what x holds need not be fetched)
    writes: (address in y of the first pixel, step from one image to the next, one row, one column)
    filter_step: distance in y between one filter's output and the next's. rectify: whether y is relu of all that.
    """
    width, rows, tiles = vectors * LANES, ROWS_OF[vectors], TILES_OF[vectors]
    pixels = images * reads[0] * reads[1]
    count = (filters + width - 1) // width
    while tiles > 2 and (pixels + rows * tiles - 1) // (rows * tiles) * count < LEAST_TASKS:
        tiles //= 2
    chunk = rows * tiles
    for task in prange((pixels + chunk - 1) // chunk * count):
        # all panels of a chunk one after the other: its part of x is in the cache then
        first, panel = task // count * chunk, task % count
        chunk_of_pixels(
            x, taps, panels, panel * panel_step, panel_taps, bias, panel * width, y, min(width, filters - panel * width),
            vectors, first, min(chunk, pixels - first), reads, writes, filter_step, rectify
        )  # fmt: skip


@piece
def chunk_of_pixels(
    x, taps, panels, panel_at, panel_taps, bias, lane_first, y, filters, vectors, first, pixels, reads, writes, filter_step,
    rectify,
):  # fmt: skip
    """Output pixels first .. first+pixels-1 of the list (n, p, q), for one panel."""
    rows, width = ROWS_OF[vectors], vectors * LANES
    tiles = (pixels + rows - 1) // rows
    x_at, y_at = np.empty(tiles * rows, np.int64), np.empty(tiles * rows, np.int64)
    pixel_addresses(first, pixels, reads, writes, x_at, y_at)
    # the last tile is filled up with the last pixel; those sums are not written
    for i in range(pixels, tiles * rows):
        x_at[i] = x_at[pixels - 1]
    if lane_first == 0 and reads[5]:
        fetch_pixels(x, taps, x_at, first, pixels, reads)
    fetch_outputs(y, y_at, first, pixels, reads[0] * reads[1], lane_first * filter_step, filters, filter_step)
    sums = np.empty(tiles * rows * width, np.float32)
    blocks = (taps.size + TAP_BLOCK - 1) // TAP_BLOCK
    for block in range(blocks):
        start, end = taps.size * block // blocks, taps.size * (block + 1) // blocks
        for tile in range(tiles):
            at = tile * rows * width
            before, before_at, step = (sums, at, width) if block else (bias, lane_first, 0)
            outer(
                vectors, x, ZERO, taps, start, x_at, tile * rows, panels, panel_at, panel_taps, start, end - start,
                before, before_at, step, sums, at
            )  # fmt: skip
    if rectify:
        for i in range(pixels * width):
            sums[i] = np.float32(0) if sums[i] <= 0 else sums[i]
    write_chunk(sums, width, first, pixels, reads, writes, y_at, filters, y, lane_first * filter_step, filter_step)


@piece
def fetch_pixels(x, taps, x_at, first, pixels, reads):
    """Fetch what pixels first .. first+pixels-1 of the list (n, p, q) read, image by image."""
    high, wide, image, _, _, channels = reads
    start, end = 0, high * wide - first % (high * wide)
    while start < pixels:
        end = min(end, pixels)
        fetch(x, taps, channels, image // channels, x_at[start], x_at[end - 1])
        start, end = end, end + high * wide


@piece
def fetch_outputs(y, y_at, first, pixels, area, shift, filters, filter_step):
    """Call for the lines that these pixels will be written to, so that they are there when the sums are."""
    if filter_step == 1:
        for i in range(pixels):
            for at in range(y_at[i] + shift, y_at[i] + shift + filters, LINE // 4):
                prefetch_to_write(y, at)
        return
    start, end = 0, area - first % area
    while start < pixels:
        end = min(end, pixels)
        for k in range(filters):
            for at in range(y_at[start] + shift + k * filter_step, y_at[end - 1] + shift + k * filter_step + 1, LINE // 4):
                prefetch_to_write(y, at)
        start, end = end, end + area


@piece
def pixel_addresses(first, count, reads, writes, x_at, y_at):
    """Where output pixels first .. first+count-1 of the list (n, p, q) read and write."""
    high, wide, x_n, x_p, x_q, _ = reads
    y_start, y_n, y_p, y_q = writes
    n, pixel = divmod(first, high * wide)
    p, q = divmod(pixel, wide)
    i = 0
    while i < count:
        run = min(wide - q, count - i)
        x_first, y_first = n * x_n + p * x_p + q * x_q, y_start + n * y_n + p * y_p + q * y_q
        for j in range(run):
            x_at[i + j] = x_first + j * x_q
            y_at[i + j] = y_first + j * y_q
        i, p, q = i + run, p + 1, 0
        if p == high:
            n, p = n + 1, 0


@piece
def write_chunk(sums, width, first, pixels, reads, writes, y_at, filters, y, shift, filter_step):
    """Sums (pixels, width) go to y: lane k of pixel i to y_at[i] + shift + k * filter_step."""
    high, wide, step = reads[0], reads[1], writes[3]
    # pixels that lie at even distances in y: those of an image, or where rows do not follow each other directly, of a row
    together = high * wide if writes[2] == wide * step else wide
    if filter_step == 1:
        for i in range(pixels):
            copy(sums, i * width, filters, y, y_at[i] + shift, y_at[i] + shift + filters)
        return
    i, run = 0, together - first % together
    while i < pixels:
        run = min(run, pixels - i)
        if step == 1:
            turn(sums, i * width, width, run, filters, y, y_at[i] + shift, filter_step)
        else:
            for k in range(filters):
                at = y_at[i] + shift + k * filter_step
                for j in range(run):
                    y[at + j * step] = sums[(i + j) * width + k]
        i, run = i + run, together
