"""The product for few outputs: lanes are neighbouring pixels, rows are channels.

A picture has three colours, so on its way down to pixels the transposed convolution has three outputs, and with filters or
channels as lanes 13 of 16 lanes would idle. Here they hold pixels instead: a tile is 3 channels by 8 vectors of pixels.

    planes as they lie in memory, rows one after the other, `wide` numbers each:

        . . . . . . .|. . . . . . .|. . . . . . .|        a vector runs over the ends of rows
        [ 16 lanes   . . ]                                the last columns of each row are computed in vain and not written
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import FLAT_ROWS, FLAT_VECTORS, LANES
from kernels.numba_cpu.microkernels import make_outer
from kernels.numba_cpu.packing import fetch

SPAN = FLAT_VECTORS * LANES
outer_flat = make_outer(FLAT_ROWS, FLAT_VECTORS)


def pays(channels, high, broad, wide):
    """Whether fewer lanes idle here than with channels as lanes, for an output of (high, broad) pixels in rows of `wide`."""
    here = -(-channels // FLAT_ROWS) * FLAT_ROWS * (-(-((high - 1) * wide + broad) // SPAN) * SPAN)
    return here < -(-channels // LANES) * LANES * high * broad


def grouped(matrix):
    """Weights (C, T) -> flat (ceil(C / rows), T, rows), zeros beyond C."""
    channels, taps = matrix.shape
    groups = -(-channels // FLAT_ROWS)
    out = np.zeros((groups * FLAT_ROWS, taps), np.float32)
    out[:channels] = matrix
    return np.ascontiguousarray(out.reshape(groups, FLAT_ROWS, taps).transpose(0, 2, 1)).reshape(-1)


@kernel
def lanes_are_pixels(x, taps, weights, bias, y, channels, images, reads, writes, channel_step, rectify):
    """y[pixel, c] = bias[c] + sum over taps t of x[pixel + taps[t]] * weights[c's group, t, c's row].

    reads: (rows and columns of output pixels, step in x from one image to the next, from one row to the next, maps in x)
    writes: (address in y of the first pixel, step from one image to the next, one row, one column)
    x has room for SPAN numbers behind its end.
    """
    high, broad, image, wide, maps = reads
    length = (high - 1) * wide + broad
    spans = (length + SPAN - 1) // SPAN
    rows, row_taps = np.arange(FLAT_ROWS), (np.arange(taps.size) * FLAT_ROWS).astype(np.int32)
    for task in prange(images * spans):
        n, first = task // spans, task % spans * SPAN
        fetch(x, taps, maps, image // maps, n * image + first, n * image + first + SPAN - 1)
        sums = np.empty(FLAT_ROWS * SPAN, np.float32)
        for group in range((channels + FLAT_ROWS - 1) // FLAT_ROWS):
            present = min(FLAT_ROWS, channels - group * FLAT_ROWS)
            for m in range(FLAT_ROWS):
                sums[m * SPAN : (m + 1) * SPAN] = bias[group * FLAT_ROWS + m] if m < present else np.float32(0)
            outer_flat(
                weights, group * taps.size * FLAT_ROWS, row_taps, 0, rows, 0, x, n * image + first, taps, 0, taps.size,
                sums, 0, SPAN, sums, 0
            )  # fmt: skip
            if rectify:
                for i in range(FLAT_ROWS * SPAN):
                    sums[i] = np.float32(0) if sums[i] <= 0 else sums[i]
            for m in range(present):
                write_span(
                    sums, m * SPAN, first, min(SPAN, length - first), broad, wide, writes, n,
                    (group * FLAT_ROWS + m) * channel_step, y
                )  # fmt: skip


@piece
def write_span(sums, sums_at, first, count, broad, wide, writes, n, shift, y):
    """Numbers first .. first+count-1 of the rows `wide` to y, without the columns beyond `broad`."""
    y_start, y_n, y_p, y_q = writes
    p, q = divmod(first, wide)
    i = 0
    while i < count:
        run = min(count - i, broad - q)
        if run > 0:
            at = y_start + n * y_n + p * y_p + q * y_q + shift
            target, source = y[at : at + (run - 1) * y_q + 1 : y_q], sums[sums_at + i : sums_at + i + run]
            for j in range(run):
                target[j] = source[j]
        i += wide - q
        p, q = p + 1, 0
