"""The transposed convolution: gradient for the input, and the deconvnet's way down.

    dx[n, c, h, w] = sum over k, r, s of dy[n, k, p, q] * w[k, c, r, s]   where p*sh + r - ph = h and q*sw + s - pw = w

Rows and columns fall into phases (phases.py), each of which is a convolution of stride 1 over dy with its own share of the
filters, flipped. No zeros are put between the
numbers of dy, and nothing is added to one place by two threads. A dy that is mostly zeros itself goes another way:
`sparse_transpose.py`.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu import few_channels, sparse_transpose
from kernels.numba_cpu.compiling import kernel
from kernels.numba_cpu.conv import whole_panels
from kernels.numba_cpu.few_channels import lanes_are_pixels
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import addresses, flat, padded
from kernels.numba_cpu.phases import phases, reach
from kernels.numba_cpu.products import lanes_are_filters, panel_vectors
from kernels.numba_cpu.unpool import unpool_relu


def conv2d_transpose(dy, w, stride, pad, size):
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (images, filters, p, q), (_, channels, _, _) = dy.shape, w.shape
    height, width = size
    dx = aligned((images, channels, height, width))
    if dx.size == 0:
        return dx
    if sparse_transpose.pays(dy, w, stride, size):
        return sparse_transpose.conv2d_transpose_sparse(dy, w, stride, pad, size)
    rows = phases(height, w.shape[2], stride[0], pad[0])
    columns = phases(width, w.shape[3], stride[1], pad[1])
    (top, tall), (left, wide) = reach(rows, p), reach(columns, q)
    flat_pays = few_channels.pays(channels, rows[0][1], columns[0][1], wide)
    source = padded(dy, top, left, tall, wide, few_channels.SPAN if flat_pays else 0)
    vectors = panel_vectors(channels)
    nothing = whole_panels(None, channels, vectors)
    for a, high, r, p_of_tap in rows:
        for b, broad, s, q_of_tap in columns:
            taps = _tap_addresses(filters, p_of_tap + top, q_of_tap + left, tall, wide)
            writes = (a * width + b, channels * height * width, stride[0] * width, stride[1])
            if taps.size == 0:  # a stride larger than the filter leaves rows or columns that no filter touches
                dx[:, :, a :: stride[0], b :: stride[1]] = 0
            elif flat_pays:
                share = w[:, :, r :: stride[0], s :: stride[1]][:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(channels, -1)
                lanes_are_pixels(
                    source, taps, few_channels.grouped(share), nothing, flat(dx), channels, images,
                    (high, broad, filters * tall * wide, wide, filters), writes, height * width, False
                )  # fmt: skip
            else:
                panels, panel_taps = _packed(w, r, s, stride, vectors)
                lanes_are_filters(
                    source, taps, panels, panel_taps, taps.size * vectors * LANES, nothing, flat(dx), channels, vectors, images,
                    (high, broad, filters * tall * wide, wide, 1, filters), writes, height * width, False
                )  # fmt: skip
    return dx


def deconv_step(y, switches, pool_size, pool_stride, pool_pad, w, stride, pad, size, collisions="sum"):
    """y, switches (N,K,P',Q'), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    maps = [(n + 2 * p - r) // s + 1 for n, r, s, p in zip(size, w.shape[2:], stride, pad, strict=True)]
    signal = unpool_relu(y, switches, pool_size, pool_stride, pool_pad, tuple(maps), collisions)
    return conv2d_transpose(signal, w, stride, pad, size)


def _tap_addresses(filters, rows, columns, tall, wide):
    """Rows and columns rise by one, so the table is that of a window that begins at the first of each."""
    if not rows.size or not columns.size:
        return np.empty(0, np.int32)
    first = int(rows[0]) * wide + int(columns[0])
    taps = addresses((filters, rows.size, columns.size), (tall * wide, wide, 1))
    return taps if first == 0 else taps + np.int32(first)


def _packed(w, r, s, stride, vectors):
    filters, channels, high, broad = w.shape
    width = vectors * LANES
    taps = filters * len(range(r, high, stride[0])) * len(range(s, broad, stride[1]))
    panels = aligned((-(-channels // width) * taps * width,))
    pack_phase(flat(w), filters, channels, (high, broad), (r, s), stride, width, panels)
    return panels, addresses((1, 1, taps), (0, 0, width))


@kernel
def pack_phase(w, filters, channels, window, first, stride, width, panels):
    """Taps r = first, first + stride, ... of w (K, C, R, S) -> panels (ceil(C / width), K * taps, width), zeros beyond C.

    Flipped: the last tap of each filter comes first.
    """
    high, broad = window
    rows, columns = (high - first[0] + stride[0] - 1) // stride[0], (broad - first[1] + stride[1] - 1) // stride[1]
    for k in prange(filters):
        for panel in range((channels + width - 1) // width):
            present = min(width, channels - panel * width)
            target = (panel * filters + k) * rows * columns * width
            source = (k * channels + panel * width) * high * broad
            for i in range(rows - 1, -1, -1):
                for j in range(columns - 1, -1, -1):
                    tap = source + (first[0] + i * stride[0]) * broad + first[1] + j * stride[1]
                    for lane in range(present):
                        panels[target + lane] = w[tap + lane * high * broad]
                    panels[target + present : target + width] = 0
                    target += width
