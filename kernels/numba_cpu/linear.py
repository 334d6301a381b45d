"""The fully connected layer: three matrix products, each the convolution's loop with other tables.

    operation      rows (a)                taps (the sum)     lanes (b)              what is laid out anew
    y = x w^T      outputs g, of w         features f         images n, of x         x, the smaller one, turned
    dx = dy w      images n, of dy         outputs g          features f, of w       nothing
    dw = dy^T x    outputs g, of dy        images n           features f, of x       nothing

The weights are read where they lie, once. A handful of images does not fill the lanes of the first product, nor repay the
tables of the others: then every weight is used as it passes by, and memory sets the pace.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, reduction
from kernels.numba_cpu.conv import packed_filters, whole_panels
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import addresses, flat, padded
from kernels.numba_cpu.products import lanes_are_filters, panel_vectors

FEW = 6  # images
STRETCH = 512  # features of which sums are kept at a time


def linear(x, w, b):
    """x (N,F), w (G,F), b (G,) or None -> y (N,G)."""
    (images, features), outputs = x.shape, len(w)
    y = aligned((images, outputs))
    if images < FEW:
        bias = np.zeros(outputs, np.float32) if b is None else flat(b)
        dot_products(flat(x), flat(w), bias, images, features, flat(y))
        return y
    vectors = panel_vectors(images)
    panels, panel_taps = packed_filters(flat(x), images, features, vectors)
    lanes_are_filters(
        flat(w), _steps(features, 1), panels, panel_taps, features * vectors * LANES, whole_panels(None, images, vectors),
        flat(y), images, vectors, 1, (1, outputs, 0, 0, features, 0), (0, 0, 0, 1), outputs, False
    )  # fmt: skip
    if b is not None:
        y += b
    return y


def linear_input_grad(dy, w):
    """dy (N,G), w (G,F) -> dx (N,F)."""
    (images, outputs), features = dy.shape, w.shape[1]
    dx = aligned((images, features))
    if images < FEW:
        weighted_rows(flat(dy), flat(w), images, outputs, features, flat(dx))
    else:
        _rows_times_matrix(dy, _steps(outputs, 1), outputs, images, w, dx)
    return dx


def linear_weight_grad(x, dy):
    """x (N,F), dy (N,G) -> dw (G,F)."""
    (images, features), outputs = x.shape, dy.shape[1]
    dw = aligned((outputs, features))
    if images < FEW:
        sum_of_outer_products(flat(x), flat(dy), images, features, outputs, flat(dw))
    else:
        _rows_times_matrix(dy, _steps(images, outputs), 1, outputs, x, dw)
    return dw


def _rows_times_matrix(numbers, taps, row_step, rows, matrix, out):
    """out[m] = sum over t of numbers[m * row_step + taps[t]] * matrix[t], for m < rows."""
    count, width = matrix.shape
    vectors = panel_vectors(width)
    spare = -width % (vectors * LANES)  # what the last panel reads beyond the end of the last row
    lanes = padded(matrix[None, None], 0, 0, count, width, spare)
    lanes_are_filters(
        flat(numbers), taps, lanes, _steps(count, width), vectors * LANES, whole_panels(None, width, vectors),
        flat(out), width, vectors, 1, (1, rows, 0, 0, row_step, 0), (0, 0, 0, width), 1, False
    )  # fmt: skip


def _steps(count, step):
    return addresses((1, 1, count), (0, 0, step))


@reduction
def dot(a, b):
    total = np.float32(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@kernel
def dot_products(x, w, b, images, features, y):
    for g in prange(b.size):
        row = w[g * features : (g + 1) * features]
        for n in range(images):
            y[n * b.size + g] = b[g] + dot(row, x[n * features : (n + 1) * features])


@kernel
def weighted_rows(dy, w, images, outputs, features, dx):
    for task in prange((features + STRETCH - 1) // STRETCH):
        first = task * STRETCH
        count = min(STRETCH, features - first)
        for n in range(images):
            dx[n * features + first : n * features + first + count] = 0
        for g in range(outputs):
            row = w[g * features + first : g * features + first + count]
            for n in range(images):
                factor, total = dy[n * outputs + g], dx[n * features + first : n * features + first + count]
                for i in range(count):
                    total[i] += factor * row[i]


@kernel
def sum_of_outer_products(x, dy, images, features, outputs, dw):
    for g in prange(outputs):
        total = dw[g * features : (g + 1) * features]
        total[:] = 0
        for n in range(images):
            factor, row = dy[n * outputs + g], x[n * features : (n + 1) * features]
            for i in range(features):
                total[i] += factor * row[i]
