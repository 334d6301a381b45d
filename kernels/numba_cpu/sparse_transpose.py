"""The transposed convolution of a signal that is mostly zeros: behind an unpooling and a rectifier, seven numbers of eight.

`conv_transpose.py` asks, for every pixel, what reaches it. Here every place (p, q) of dy tells what it gives:

    the maps k that are not zero at (p, q)  --outer: sum of dy[k,p,q] * w[k], all R x S x C numbers at once-->  one block
    the block, row by row, is added to the picture at (p*sh, q*sw), where neighbouring blocks overlap

so zeros cost nothing. A tile of `outer` is one row of sums here, and its taps are the maps that are not zero. The signal is
turned maps-last, so that the maps of one place lie in one piece, and the picture is kept colours-last, so that a row of a block
does; it is turned back at the end. An image is the work of one thread and places come in order: two runs give the same bits.
"""

import numba
import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

from kernels.numba_cpu.compiling import ZERO, kernel, piece
from kernels.numba_cpu.machine import LANES, PLAIN, REGISTERS
from kernels.numba_cpu.memory import aligned
from kernels.numba_cpu.microkernels import FLOATS, data, element, load, make_outer, store
from kernels.numba_cpu.packing import flat, turn

VECTORS = 10 if REGISTERS == 32 else 5
SPAN = VECTORS * LANES
DENSE_IS_FASTER = 3.5  # multiply-adds of the dense way in the time of one of this way
SAMPLE, SAMPLE_MAPS = 4, 32  # images and maps whose zeros are counted
outer_row = make_outer(1, VECTORS)


@intrinsic
def vector_add(typing, source, source_at, target, target_at):
    """target[target_at + j] += source[source_at + j] for the LANES numbers j."""
    i = types.intp
    signature = types.void(FLOATS, i, FLOATS, i)

    def write(context, builder, signature, arguments):
        source, source_at, target, target_at = data(context, builder, signature, arguments)
        target = element(builder, target, target_at)
        store(builder, builder.fadd(load(builder, target), load(builder, element(builder, source, source_at))), target)
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_add(source, source_at, target, target_at):
    for j in range(LANES):
        target[target_at + j] += source[source_at + j]


add_vector = plain_add if PLAIN else vector_add


def pays(dy, w, stride, size):
    """Whether leaving out the zeros of dy is faster than computing with them; how many there are, a few images tell."""
    images = len(dy)
    dense = images * w.size * size[0] * size[1] / (stride[0] * stride[1])
    block = -(-w[0].size // SPAN) * SPAN
    idle = numba.get_num_threads() / min(numba.get_num_threads(), images)  # an image is the work of one thread
    worth = dense / (block * DENSE_IS_FASTER * idle)  # with fewer numbers than this that are not zero, it is
    sample = dy[:: max(1, images // SAMPLE), :: max(1, dy.shape[1] // SAMPLE_MAPS)]
    present = np.count_nonzero(sample != 0) * dy.size / sample.size
    return present < worth and bool(np.isfinite(w).all())  # zeros may be left out only where 0 * w is 0


def conv2d_transpose_sparse(dy, w, stride, pad, size):
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (images, filters, p, q), (_, channels, high, broad) = dy.shape, w.shape
    blocks = -(-w[0].size // SPAN)
    packed = np.zeros((filters, blocks * SPAN), np.float32)
    packed[:, : w[0].size] = w.transpose(0, 2, 3, 1).reshape(filters, -1)  # (K, R*S*C): a filter as a block of the picture
    dx = aligned((images, channels, *size))
    lay_blocks(flat(dy), flat(packed), flat(dx), (images, filters, p, q), (channels, high, broad, blocks), stride, pad, size)
    return dx


@kernel
def lay_blocks(dy, filters, dx, signal, filter_shape, stride, pad, size):
    images, maps, p, q = signal
    channels, high, broad, blocks = filter_shape
    tall, wide = (p - 1) * stride[0] + high, (q - 1) * stride[1] + broad
    places, row = p * q, broad * channels
    block = blocks * SPAN
    ticks, first_row, zeros = np.arange(maps).astype(np.int32), np.zeros(1, np.int64), np.zeros(SPAN, np.float32)
    for n in prange(images):
        sums = np.empty(block, np.float32)
        by_place = np.empty(places * maps, np.float32)
        turn(dy, n * maps * places, places, maps, places, by_place, ZERO, maps)
        values, addresses = np.empty(maps, np.float32), np.empty(maps, np.int32)
        picture = np.zeros(tall * wide * channels, np.float32)
        for place in range(places):
            count = present_maps(by_place, place * maps, maps, block, values, addresses)
            if count == 0:
                continue
            for span in range(0, block, SPAN):
                outer_row(values, 0, ticks, 0, first_row, 0, filters, span, addresses, 0, count, zeros, 0, 0, sums, span)
            corner = (place // q * stride[0] * wide + place % q * stride[1]) * channels
            for r in range(high):
                add(sums, r * row, row, picture, corner + r * wide * channels)
        write_picture(picture, tall, wide, channels, pad, size, dx, n * channels * size[0] * size[1])


@piece
def present_maps(signal, at, maps, block, values, addresses):
    """Values that are not zero and the addresses of their filters -> how many; no branch depends on the signal."""
    count = 0
    for k in range(maps):
        value = signal[at + k]
        values[count], addresses[count] = value, k * block
        count += value != 0
    return count


@piece
def add(source, source_at, count, target, target_at):
    whole = count - count % LANES
    for j in range(0, whole, LANES):
        add_vector(source, source_at + j, target, target_at + j)
    for j in range(whole, count):
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
