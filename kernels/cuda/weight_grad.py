"""The gradient for the filters, fp32: which tile, how many parts, and the tables that `weight_grad.cu` reads.

Pixels are cut into parts so that all multiprocessors have work; a second pass adds the parts in a fixed order.
"""

from functools import lru_cache
from math import prod

import numpy as np

from kernels.backends import Array
from kernels.cuda import geometry
from kernels.cuda.device import Device
from kernels.cuda.geometry import TAP, Sides
from kernels.cuda.products import add_splits
from kernels.cuda.tiles import Tile

FILE = "weight_grad.cu"
STEP, STAGES = 8, 4  # as in tile.cuh; here the steps are pixels
LEAST_PIXELS = 8 * STEP  # of a part: a shorter one is mostly filling and emptying the pipeline
MOST_PARTS = 256
TILES = Tile(128, 128, 256, 2, 693), Tile(128, 64, 128, 3, 746), Tile(64, 96, 96, 5, 745), Tile(64, 64, 64, 7, 757)
SUMS = np.dtype(
    [(name, np.int32) for name in ("filters", "taps", "pixels", "map", "x_image", "dy_image", "height", "width", "part")]
)


def conv2d_weight_grad(
    device: Device, x: Array, dy: Array, stride: Sides, pad: Sides, filter_size: Sides, chosen: tuple[Tile, int] | None = None
) -> Array:
    """x (N,C,H,W), dy (N,K,P,Q) -> dw (K,C,R,S); `chosen` (tile of taps x filters, parts) overrules the choice."""
    (images, channels, height, width), (_, filters, p, q) = x.shape, dy.shape
    shape = (filters, channels, *filter_size)
    taps, pixels = channels * prod(filter_size), images * p * q
    if pixels * filters * taps == 0:
        return device.arrays.zeros(shape, np.float32)
    tile, parts = chosen or choose(TILES, taps, filters, pixels, STEP)
    part, parts = share(pixels, parts, STEP)
    across = -(-taps // tile.rows)
    plan = geometry.forward(channels, (height, width), filters, filter_size, stride, pad, (p, q))
    length = (across - 1) * tile.rows + _places(tile)
    tap_places = device.table(("weight grad taps", plan.key, length), lambda: tap_table(plan.taps, length).view(np.int32))
    pixel_places = device.table(("weight grad pixels", plan.key), lambda: pixel_table((p, q), width, stride).view(np.int32))
    sums = np.array((filters, taps, pixels, p * q, channels * height * width, filters * p * q, height, width, part), SUMS)
    dw = device.empty(shape)
    partial = dw if parts == 1 else device.empty((parts, *shape))
    device.launch(
        FILE,
        f"weight_grad_{tile.name}",
        (across, -(-filters // tile.columns), parts),
        (tile.threads,),
        (x, dy, tap_places, pixel_places, partial, sums),
        STAGES * STEP * (tile.rows + 4 + tile.columns + 4) * 4 + _places(tile) * TAP.itemsize,
    )
    if parts > 1:
        add_splits(device, partial, None, dw, 1, False)
    return dw


@lru_cache(256)
def choose(options: tuple[Tile, ...], rows: int, columns: int, pixels: int, step: int) -> tuple[Tile, int]:
    """The tile and the number of parts that cost least.

    A wave of blocks takes as long as one block, so 270 blocks on 264 places take as long as 528 would: parts are chosen so that
    the last wave is nearly full.
    """
    best, least = (options[0], 1), None
    for tile in options:
        for parts in range(1, min(MOST_PARTS, max(1, pixels // LEAST_PIXELS)) + 1):
            cost = tile.cost(rows, columns, -(-pixels // step), parts)
            if least is None or cost < least:
                best, least = (tile, parts), cost
    return best


def share(pixels: int, parts: int, step: int) -> tuple[int, int]:
    """(pixels of one part, a multiple of `step`; how many parts that makes)."""
    part = -(-pixels // (parts * step)) * step
    return part, -(-pixels // part)


def tap_table(taps: np.ndarray, length: int) -> np.ndarray:
    """The taps of a convolution, filled up to `length` with taps that lie outside every image."""
    places = np.zeros(max(length, taps.size), TAP)
    places["row"] = geometry.OUTSIDE
    places[: taps.size] = taps
    return places


def pixel_table(out: Sides, width: int, stride: Sides) -> np.ndarray:
    """Where the filter stands in its image for output pixel (p, q), padding aside: taps count from there."""
    p, q = np.indices(out).reshape(2, -1)
    places = np.zeros(p.size, TAP)
    places["row"], places["column"] = p * stride[0], q * stride[1]
    places["offset"] = places["row"] * width + places["column"]
    return places


def _places(tile: Tile) -> int:
    """Taps of the tile, filled up to a whole number for each of the threads that share a pixel."""
    lanes = tile.threads // STEP
    return -(-tile.rows // lanes) * lanes
