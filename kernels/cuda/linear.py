"""The fully connected layer and its gradients, in fp32: what is launched. The kernels: linear_fp32.cu."""

import numpy as np

from kernels.backends import Array
from kernels.cuda import tiles
from kernels.cuda.device import Device
from kernels.cuda.products import add_splits

FILE = "linear_fp32.cu"
PRODUCT = np.dtype([(name, np.int32) for name in ("rows", "columns", "sum", "splits")])


def linear(device: Device, x: Array, w: Array, b: Array | None) -> Array:
    """x (N,F), w (G,F), b (G,) or None -> y (N,G)."""
    return _product(device, "linear", w, x, b, w.shape[0], x.shape[0], w.shape[1])


def linear_input_grad(device: Device, dy: Array, w: Array) -> Array:
    """dy (N,G), w (G,F) -> dx (N,F)."""
    return _product(device, "linear_input_grad", w, dy, None, w.shape[1], dy.shape[0], w.shape[0])


def linear_weight_grad(device: Device, x: Array, dy: Array) -> Array:
    """x (N,F), dy (N,G) -> dw (G,F)."""
    return _product(device, "linear_weight_grad", x, dy, None, x.shape[1], dy.shape[1], x.shape[0])


def _product(device: Device, name: str, a: Array, b: Array, bias: Array | None, rows: int, columns: int, length: int) -> Array:
    """(columns, rows): sums of `length` products of a and b, plus bias for each row."""
    out = device.empty((columns, rows))
    if out.size == 0:
        return out
    tile, splits = tiles.choose(tiles.LINEAR, rows, columns, -(-length // tiles.STEP))
    sums = out if splits == 1 else device.empty((splits, *out.shape))
    grid = -(-rows // tile.rows), -(-columns // tile.columns), splits
    struct = np.array((rows, columns, length, splits), PRODUCT)
    device.launch(FILE, f"{name}_{tile.name}", grid, (tile.threads,), (a, b, bias, sums, struct))
    if splits > 1:
        add_splits(device, sums, bias, out, 1, False)
    return out
