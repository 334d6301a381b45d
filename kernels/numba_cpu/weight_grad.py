"""The filter gradient: the loop of the convolution with its two tables exchanged.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, c, p*sh + r - ph, q*sw + s - pw]

    address in padded x = [n, p*sh, q*sw] + [c, r, s]

In the convolution the second part is the tap and the first the row; here the sum runs over (n, p, q), so the first part is the
tap and (c, r, s) the row of the tile. dy, turned so that the filters lie side by side, takes the place of the packed filters.

The sum is long (every pixel of the batch), so it may be cut into parts that different cores add up; how many depends on the
shape alone and the parts are added in one order: the result is the same for any number of threads.
"""

import numpy as np
from numba import prange

from kernels.numba_cpu.compiling import ZERO, kernel, piece
from kernels.numba_cpu.machine import LANES, ROWS
from kernels.numba_cpu.memory import LINE, aligned
from kernels.numba_cpu.moves import prefetch
from kernels.numba_cpu.packing import addresses, filter_taps, flat, padded, turn
from kernels.numba_cpu.products import ROWS_OF, outer, panel_vectors

TAP_BLOCK = 256
TASKS = 16
PARTS = 4
SHARE_TILES = 32


def conv2d_weight_grad(x, dy, stride, pad, filter_size):
    """x (N,C,H,W), dy (N,K,P,Q) -> dw (K,C,R,S)."""
    (images, channels, height, width), (_, filters, p, q) = x.shape, dy.shape
    (sh, sw), (ph, pw) = stride, pad
    tall, wide = height + 2 * ph, width + 2 * pw
    dw = aligned((filters, channels, *filter_size))
    if dw.size == 0 or dy.size == 0:
        dw.fill(0)
        return dw
    taps = addresses((images, p, q), (channels * tall * wide, sh * wide, sw))
    vectors = panel_vectors(filters)
    places = filter_taps(channels, filter_size, tall, wide)
    tiles = -(-places.size // ROWS[vectors])
    rows = np.full(tiles * ROWS[vectors], places[-1], np.int64)
    rows[: places.size] = places

    panels = -(-filters // (vectors * LANES))
    # every share turns dy for itself, which is cheap beside many tiles; every part has sums of its own to be added up
    shares = min(max(1, tiles // SHARE_TILES), -(-TASKS // panels))
    parts = min(PARTS, -(-TASKS // (panels * shares)), -(-taps.size // (2 * TAP_BLOCK)))
    sums = aligned((parts * panels * rows.size * vectors * LANES,))
    sums.fill(0)
    lanes_are_gradients(padded(x, ph, pw, tall, wide), taps, rows, flat(dy), filters, p * q, vectors, parts, shares, sums)
    add_parts(sums, rows.size, places.size, filters, vectors * LANES, parts, flat(dw))
    return dw


@kernel
def lanes_are_gradients(x, taps, rows, dy, filters, pixels, vectors, parts, shares, sums):
    """sums (parts, panels, rows, width): row (c,r,s), lane k gets its part of the sum over taps (n,p,q).

    A task has one panel of filters, one part of the taps, one share of the tiles.
    """
    width = vectors * LANES
    panels = (filters + width - 1) // width
    tiles = rows.size // ROWS_OF[vectors]
    blocks = (taps.size + TAP_BLOCK - 1) // TAP_BLOCK
    for task in prange(parts * panels * shares):
        part, panel, share = task // (panels * shares), task // shares % panels, task % shares
        weight_grad_task(
            x, taps, rows, dy, filters, pixels, vectors, panel, (part * panels + panel) * rows.size * width,
            blocks * part // parts, blocks * (part + 1) // parts, tiles * share // shares, tiles * (share + 1) // shares, sums
        )  # fmt: skip


@piece
def weight_grad_task(x, taps, rows, dy, filters, pixels, vectors, panel, sums_at, first, last, tile_first, tile_last, sums):
    width, tile_rows = vectors * LANES, ROWS_OF[vectors]
    turned = np.zeros(TAP_BLOCK * width, np.float32)
    places = np.arange(0, TAP_BLOCK * width, width).astype(np.int32)
    end = min(last * TAP_BLOCK, taps.size)
    for block in range(first * TAP_BLOCK, end, TAP_BLOCK):
        length = min(TAP_BLOCK, taps.size - block)
        fetch_gradients(dy, filters, pixels, block + TAP_BLOCK, min(TAP_BLOCK, end - block - TAP_BLOCK), panel * width, width)
        turn_pixels(dy, filters, pixels, block, length, panel * width, width, turned)
        for tile in range(tile_first, tile_last):
            outer(
                vectors, x, ZERO, taps, block, rows, tile * tile_rows, turned, ZERO, places, ZERO, length,
                sums, sums_at + tile * tile_rows * width, width, sums, sums_at + tile * tile_rows * width
            )  # fmt: skip


@piece
def fetch_gradients(dy, filters, pixels, first, count, filter_first, width):
    """Call what `turn_pixels` will read for the next block, while this one is computed."""
    done = 0
    while done < count:
        n, pixel = divmod(first + done, pixels)
        run = min(pixels - pixel, count - done)
        for k in range(filter_first, min(filters, filter_first + width)):
            start = (n * filters + k) * pixels + pixel
            for at in range(start, start + run, LINE // 4):
                prefetch(dy, at)
        done += run


@piece
def turn_pixels(dy, filters, pixels, first, count, filter_first, width, turned):
    """dy (N, K, pixels): for `count` entries of the list (n, pixel) from `first`, `width` filters side by side."""
    present = min(width, filters - filter_first)
    done = 0
    while done < count:
        n, pixel = divmod(first + done, pixels)
        run = min(pixels - pixel, count - done)
        turn(dy, (n * filters + filter_first) * pixels + pixel, pixels, present, run, turned, done * width, width)
        done += run


@kernel
def add_parts(sums, rows, places, filters, width, parts, dw):
    """dw (K, places) from sums (parts, panels, rows, width): parts added first to last, filters apart again."""
    panels = (filters + width - 1) // width
    chunk = 256 // LANES * LANES
    chunks = (places + chunk - 1) // chunk
    for task in prange(panels * chunks):
        panel, start = task // chunks, task % chunks * chunk
        count = min(chunk, places - start)
        total = np.zeros(chunk * width, np.float32)
        for part in range(parts):
            at = ((part * panels + panel) * rows + start) * width
            more = sums[at : at + count * width]
            for i in range(count * width):
                total[i] += more[i]
        turn(total, ZERO, width, count, min(width, filters - panel * width), dw, panel * width * places + start, places)
