"""Max pooling with switches, and unpooling: launches of `maxpool.cu` and `unpool.cu`.

The windows of the paper's nets (3x3 and 2x2, stride 2) have kernels of their own, which work in bands of rows through shared
memory; `share_out` decides how much a block takes. Every other window, and rows too wide for shared memory, take the `_any`
kernels.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device
from kernels.sizes import pool_output_size

Sides = tuple[int, int]
Numbers = tuple[np.int32, ...]

THREADS = 256
TALL = 2  # as in unpool.cu
SPECIAL = {((3, 3), (2, 2)): "3x3_stride2", ((2, 2), (2, 2)): "2x2_stride2"}
BAND = 4096  # floats: 16 KB, so that eight blocks fit on a multiprocessor of any GPU since sm_80
WIDEST_BAND = 12288 - 4  # floats: what a block gets without asking for more, less the shift of band.cuh
ENOUGH_BLOCKS = 1024  # about eight for each of an H200's 132 multiprocessors
EACH = 8  # cells a thread of the `_any` kernels


class Launch(NamedTuple):
    """A kernel and how to launch it; the arrays come before `numbers`."""

    kernel: str
    blocks: int
    numbers: Numbers
    shared_bytes: int = 0


def maxpool2d(device: Device, x: Array, size: Sides, stride: Sides, pad: Sides, rectify: bool = False) -> tuple[Array, Array]:
    """x (N,C,H,W) -> y, switches (N,C,P,Q); with `rectify`, of relu(x)."""
    launch = plan_maxpool(x.shape, size, stride, pad)
    out = *x.shape[:2], *pool_output_size(x.shape[2:], size, stride, pad)
    y, switches = device.empty(out), device.empty(out, np.uint8)
    if x.size:
        arguments = x, y, switches, *launch.numbers, np.int32(rectify)
        device.launch("maxpool.cu", launch.kernel, (launch.blocks,), (THREADS,), arguments, launch.shared_bytes)
    return y, switches


def unpool2d(
    device: Device,
    y: Array,
    switches: Array,
    size: Sides,
    stride: Sides,
    pad: Sides,
    out_size: Sides,
    collisions: str,
    rectify: bool = False,
) -> Array:
    """y, switches (N,C,P,Q) -> x (N,C,H,W), (H,W) = out_size; with `rectify`, relu of it."""
    launch = plan_unpool(y.shape, size, stride, pad, out_size, collisions)
    x = device.empty((*y.shape[:2], *out_size))
    if y.size:
        arguments = y, switches, x, *launch.numbers, np.int32(rectify)
        device.launch("unpool.cu", launch.kernel, (launch.blocks,), (THREADS,), arguments, launch.shared_bytes)
    return x


@cache
def plan_maxpool(x: tuple[int, ...], size: Sides, stride: Sides, pad: Sides) -> Launch:
    """The kernel for x (N,C,H,W), and its numbers."""
    planes, (height, width) = x[0] * x[1], x[2:]
    rows, columns = pool_output_size((height, width), size, stride, pad)
    numbers = planes, height, width, rows, columns
    if (size, stride) in SPECIAL and planes:
        # n rows of outputs see n * stride + (size - stride) rows of x
        band = share_out(planes, rows, stride[0] * width, (size[0] - stride[0]) * width, height * width)
        if band is not None:
            name = f"maxpool2d_{SPECIAL[size, stride]}"
            return Launch(name, band.blocks, int32(*numbers, *pad, band.planes, band.rows), band.shared_bytes)
    blocks = -(-planes * rows * columns // (THREADS * EACH))
    return Launch("maxpool2d_any", blocks, int32(*numbers, *size, *stride, *pad, EACH))


@cache
def plan_unpool(y: tuple[int, ...], size: Sides, stride: Sides, pad: Sides, out_size: Sides, collisions: str) -> Launch:
    """The kernel for y (N,C,P,Q) and maps of `out_size`, and its numbers."""
    planes, (height, width) = y[0] * y[1], out_size
    numbers = planes, height, width, *y[2:]
    if (size, stride) in SPECIAL and planes:
        step = TALL * stride[0]
        band = share_out(planes, -(-(height + pad[0]) // step), step * width, 0, height * width)
        if band is not None:
            rule = "" if size == stride else f"_{collisions}"  # windows that do not overlap need no rule
            name = f"unpool2d_{SPECIAL[size, stride]}{rule}"
            return Launch(name, band.blocks, int32(*numbers, *pad, band.planes, band.rows), band.shared_bytes)
    blocks = -(-planes * height * width // (THREADS * EACH))
    return Launch(f"unpool2d_any_{collisions}", blocks, int32(*numbers, *size, *stride, *pad, EACH))


class Band(NamedTuple):
    """What one block takes: all rows of `planes` planes, or `rows` rows of one."""

    planes: int
    rows: int
    blocks: int
    shared_bytes: int


def share_out(planes: int, rows: int, row_floats: int, extra_floats: int, plane_floats: int) -> Band | None:
    """Bands that fit in shared memory; None where not even one row does.

    n rows take n * row_floats + extra_floats, a whole plane plane_floats. Smaller bands than could be where there would be too
    few blocks to keep a GPU busy.
    """
    one_row = min(row_floats + extra_floats, plane_floats)
    if one_row > WIDEST_BAND:
        return None
    chosen = None
    for floats in (BAND, BAND // 2, BAND // 4):
        if one_row > floats and chosen is not None:
            break
        if plane_floats <= floats:
            planes_each, rows_each = min(planes, floats // plane_floats), rows
            used = planes_each * plane_floats
        else:
            planes_each, rows_each = 1, min(rows, max(1, (floats - extra_floats) // row_floats))
            used = min(rows_each * row_floats + extra_floats, plane_floats)
        blocks = -(-planes // planes_each) * -(-rows // rows_each)
        chosen = Band(planes_each, rows_each, blocks, 4 * (used + 3))  # + 3: the shift of band.cuh
        if blocks >= ENOUGH_BLOCKS:
            break
    return chosen


def int32(*numbers: int) -> Numbers:
    return tuple(map(np.int32, numbers))
