"""The transposed convolution of a signal that is mostly zeros: behind an unpooling and a rectifier, seven numbers of eight.

`conv_transpose.py` asks, for every pixel, what reaches it. Here every place (p, q) of dy that holds anything says what it gives:

    the maps k that are not zero at (p, q)  --outer: sum of dy[k,p,q] * w[k], all R x S x C numbers at once-->  one block
    the block, row by row, is added to the picture at (p*sh, q*sw), where neighbouring blocks overlap

so zeros cost nothing. A tile of `outer` is one row of sums here; its taps are the maps that are not zero, found by counting
them place by place. The picture is kept colours-last, so that a row of a block lies in one piece, and turned at the end. An
image is the work of one thread and places come in order: two runs give the same bits.
"""

import numba
import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import kernel, piece
from kernels.numba_cpu.machine import LANES, REGISTERS
from kernels.numba_cpu.microkernels import make_outer
from kernels.numba_cpu.packing import aligned, flat, turn

VECTORS = 10 if REGISTERS == 32 else 5
SPAN = VECTORS * LANES
DENSE_IS_FASTER = 2.0  # multiply-adds of the dense way in the time of one of this way
outer_row = make_outer(1, VECTORS)


def pays(dy, w, stride, size):
    """Whether leaving out the zeros of dy is faster than computing with them."""
    images, filters = dy.shape[:2]
    dense = images * w.size * size[0] * size[1] / (stride[0] * stride[1])
    block = -(-w[0].size // SPAN) * SPAN
    threads = min(numba.get_num_threads(), max(images, 1))
    most = dense * threads / (block * DENSE_IS_FASTER * numba.get_num_threads())
    if most >= dy.size or most < 1:
        return bool(most >= 1)
    # zeros may be left out only where 0 * w is 0
    return count_present(flat(dy), images, dy[0].size) < most and bool(np.isfinite(w).all())


def conv2d_transpose_sparse(dy, w, stride, pad, size):
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (images, filters, p, q), (_, channels, high, broad) = dy.shape, w.shape
    blocks = -(-w[0].size // SPAN)
    packed = np.zeros((filters, blocks * SPAN), np.float32)
    packed[:, : w[0].size] = w.transpose(0, 2, 3, 1).reshape(filters, -1)  # (K, R*S*C): a filter as a block of the picture
    dx = aligned((images, channels, *size))
    lay_blocks(
        flat(dy), flat(packed), flat(dx), (images, filters, p, q), (channels, high, broad, blocks), stride, pad, size
    )
    return dx


@kernel
def count_present(dy, images, length):
    """How many numbers are not zero."""
    present = 0
    for n in prange(images):
        here = 0
        for i in range(n * length, (n + 1) * length):
            here += dy[i] != 0
        present += here
    return present


@kernel
def lay_blocks(dy, filters, dx, signal, filter_shape, stride, pad, size):
    images, maps, p, q = signal
    channels, high, broad, blocks = filter_shape
    tall, wide = (p - 1) * stride[0] + high, (q - 1) * stride[1] + broad
    places, row = p * q, broad * channels
    block = blocks * SPAN
    for n in prange(images):
        starts, values, addresses = present_by_place(dy, n * maps * places, maps, places, block)
        ticks, sums, zeros = np.arange(maps).astype(np.int32), np.empty(block, np.float32), np.zeros(SPAN, np.float32)
        first_row = np.zeros(1, np.int64)
        picture = np.zeros(tall * wide * channels, np.float32)
        for place in range(places):
            first, count = starts[place], starts[place + 1] - starts[place]
            if count == 0:
                continue
            for span in range(0, block, SPAN):
                outer_row(
                    values, first, ticks, 0, first_row, 0, filters, span, addresses, first, count, zeros, 0, 0, sums, span
                )
            corner = (place // q * stride[0] * wide + place % q * stride[1]) * channels
            for r in range(high):
                add(sums, r * row, row, picture, corner + r * wide * channels)
        write_picture(picture, tall, wide, channels, pad, size, dx, n * channels * size[0] * size[1])


@piece
def present_by_place(dy, dy_at, maps, places, block):
    """The numbers that are not zero, sorted by place: (first of each place, values, addresses of their filters)."""
    starts = np.zeros(places + 1, np.int64)
    for k in range(maps):
        for place in range(places):
            starts[place + 1] += dy[dy_at + k * places + place] != 0
    for place in range(places):
        starts[place + 1] += starts[place]
    values, addresses = np.empty(starts[places], np.float32), np.empty(starts[places], np.int32)
    following = starts[:places].copy()
    for k in range(maps):
        for place in range(places):
            value = dy[dy_at + k * places + place]
            if value != 0:
                at = following[place]
                values[at], addresses[at], following[place] = value, k * block, at + 1
    return starts, values, addresses


@piece
def add(source, source_at, count, target, target_at):
    for j in range(count):
        target[target_at + j] += source[source_at + j]


@piece
def write_picture(picture, tall, wide, channels, pad, size, dx, dx_at):
    """The picture (tall, wide, C) without its padding -> planes (C, H, W); rows and columns no filter reached are zero."""
    area = size[0] * size[1]
    rows, columns = min(size[0], tall - pad[0]), min(size[1], wide - pad[1])
    if rows < size[0] or columns < size[1]:
        dx[dx_at : dx_at + channels * area] = 0
    for h in range(rows):
        source = ((h + pad[0]) * wide + pad[1]) * channels
        turn(picture, source, channels, columns, channels, dx, dx_at + h * size[1], area)
