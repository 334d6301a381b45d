"""conv2d, its adjoint and the deconvnet's step, in fp32: what is launched. The kernels: conv_fp32.cu."""

import numpy as np

from kernels.backends import Array
from kernels.cuda import geometry, tiles
from kernels.cuda.device import Device
from kernels.cuda.geometry import Plan, Sides
from kernels.sizes import conv_output_size

FILE = "conv_fp32.cu"
NOTHING = np.uintp(0)  # a null pointer


def conv2d(device: Device, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides, rectify: bool = False) -> Array:
    """x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q), rectified on the way out if asked."""
    (images, maps, *size), (filters, _, *window) = x.shape, w.shape
    out = conv_output_size(tuple(size), tuple(window), stride, pad)
    y = device.empty((images, filters, *out))
    if images:
        implicit_gemm(
            device, x, w, b, y, geometry.forward(maps, tuple(size), filters, tuple(window), stride, pad, out), rectify
        )
    return y


def conv2d_transpose(device: Device, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (images, filters, *small), (_, channels, *window) = dy.shape, w.shape
    dx = device.empty((images, channels, *size))
    if images:
        plan = geometry.transposed(filters, tuple(small), channels, tuple(window), stride, pad, size)
        implicit_gemm(device, dy, w, None, dx, plan, False)
    return dx


def implicit_gemm(device: Device, x: Array, w: Array, b: Array | None, y: Array, plan: Plan, rectify: bool) -> None:
    """y = the product that `plan` describes, on tiles chosen for its shape."""
    images = len(x)
    tile, splits = tiles.choose(plan.pixels(images), plan.filters, plan.steps, len(plan.phases))
    taps = device.table(("taps", plan.key), lambda: plan.taps.view(np.int32))
    phases = device.table(("phases", plan.key), lambda: plan.phases.view(np.int32))
    packed = pack_filters(device, w, plan, taps, tile.columns)
    sums = y if splits == 1 else device.empty((splits, *y.shape))
    grid = -(-plan.pixels(images) // tile.rows) * len(plan.phases), -(-plan.filters // tile.columns), splits
    struct = plan.struct(images, packed.shape[1], splits, rectify)
    bias = NOTHING if b is None else b
    device.launch(FILE, f"conv_tile_{tile.name}", grid, (tile.threads,), (x, packed, bias, sums, taps, phases, struct))
    if splits > 1:
        add_splits(device, sums, bias, y, rectify)


def pack_filters(device: Device, w: Array, plan: Plan, taps: Array, columns: int) -> Array:
    """The weights as [tap][filter], filters filled up with zeros to a multiple of `columns`."""
    packed = device.empty((max(plan.taps.size, 1), -(-plan.filters // columns) * columns))
    if plan.taps.size:
        grid = packed.shape[1] // 32, -(-plan.taps.size // 32)
        numbers = plan.taps.size, plan.filters, plan.filter_step, packed.shape[1]
        device.launch(FILE, "pack_filters", grid, (32, 8), (w, packed, taps, *map(np.int32, numbers)))
    return packed


def add_splits(device: Device, partial: Array, bias: Array, y: Array, rectify: bool) -> None:
    """y = the sum of partial[0], partial[1], ... in this order, plus bias (for each y[:, filter]), perhaps rectified."""
    plane = y[0, 0].size
    numbers = len(partial), y.size, y.shape[1], plane, rectify
    device.launch(FILE, "add_splits", (-(-y.size // 256),), (256,), (partial, bias, y, *map(np.int32, numbers)))
