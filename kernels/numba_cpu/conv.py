"""Convolution: rows are output pixels, taps are (c, r, s), lanes are filters.

    y[n, k, p, q] = b[k] + sum over c, r, s of x[n, c, p*sh + r - ph, q*sw + s - pw] * w[k, c, r, s]

In the padded input the address splits into a part that depends on the pixel only and a part that depends on the tap only:

    address = [n, p*sh, q*sw] + [c, r, s]

so a stride costs nothing: it only changes the first part.
"""

import numpy as np

from kernels.numba_cpu import few_channels
from kernels.numba_cpu.few_channels import lanes_are_pixels
from kernels.numba_cpu.machine import LANES
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.packing import addresses, filter_taps, flat, pack_rows, padded
from kernels.numba_cpu.products import lanes_are_filters, panel_vectors


def conv2d(x, w, b, stride, pad):
    """x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q)."""
    return _convolution(x, w, b, stride, pad, False)


def conv2d_relu(x, w, b, stride, pad):
    """relu(conv2d(...)) in one pass, bit for bit."""
    return _convolution(x, w, b, stride, pad, True)


def _convolution(x, w, b, stride, pad, rectify):
    (images, channels, height, width), (filters, _, r, s) = x.shape, w.shape
    (sh, sw), (ph, pw) = stride, pad
    p, q = (height + 2 * ph - r) // sh + 1, (width + 2 * pw - s) // sw + 1
    tall, wide = height + 2 * ph, width + 2 * pw
    y = aligned((images, filters, p, q))
    if y.size == 0:
        return y
    taps = filter_taps(channels, (r, s), tall, wide)
    vectors = panel_vectors(filters)
    bias, writes = whole_panels(b, filters, vectors), (0, filters * p * q, q, 1)
    if stride == (1, 1) and few_channels.pays(filters, p, q, wide):
        lanes_are_pixels(
            padded(x, ph, pw, tall, wide, few_channels.SPAN), taps, few_channels.grouped(w.reshape(filters, -1)), bias,
            flat(y), filters, images, (p, q, channels * tall * wide, wide, channels), writes, p * q, rectify
        )  # fmt: skip
        return y
    panels, panel_taps = packed_filters(flat(w), filters, taps.size, vectors)
    lanes_are_filters(
        padded(x, ph, pw, tall, wide), taps, panels, panel_taps, taps.size * vectors * LANES, bias, flat(y), filters, vectors,
        images, (p, q, channels * tall * wide, sh * wide, sw, channels), writes, p * q, rectify
    )  # fmt: skip
    return y


def packed_filters(matrix, filters, taps, vectors):
    """Filters (K, T) flat -> panels for `lanes_are_filters`, and the address of each tap in a panel."""
    width = vectors * LANES
    panels = aligned((-(-filters // width) * taps * width,))
    pack_rows(matrix, filters, taps, width, panels)
    return panels, addresses((1, 1, taps), (0, 0, width))


def whole_panels(bias, filters, vectors):
    """The bias, or zeros for None, with zeros for the lanes of the last panel that hold no filter."""
    width = vectors * LANES
    out = np.zeros(-(-filters // width) * width, np.float32)
    if bias is not None:
        out[:filters] = bias
    return out
