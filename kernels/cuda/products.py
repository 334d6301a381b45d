"""Before and after a product on tiles: filters are packed, partial sums added. The kernels: packing.cu."""

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device
from kernels.cuda.geometry import Plan

FILE = "packing.cu"
NOTHING = np.uintp(0)  # a null pointer: no bias


def tables(device: Device, plan: Plan) -> tuple[Array, Array]:
    """The plan's taps and phases on the device."""
    return (
        device.table(("taps", plan.key), lambda: plan.taps.view(np.int32)),
        device.table(("phases", plan.key), lambda: plan.phases.view(np.int32)),
    )


def pack_filters(device: Device, w: Array, plan: Plan, taps: Array, columns: int) -> Array:
    """The weights as [tap][filter], filters filled up with zeros to a multiple of `columns`, itself a multiple of 32."""
    packed = device.empty((max(plan.taps.size, 1), -(-plan.filters // columns) * columns))
    if plan.taps.size:
        grid = packed.shape[1] // 32, -(-plan.taps.size // 32)
        numbers = plan.taps.size, plan.filters, plan.filter_step, packed.shape[1]
        device.launch(FILE, "pack_filters", grid, (32, 8), (w, packed, taps, *map(np.int32, numbers)))
    return packed


def add_splits(device: Device, partial: Array, bias: Array, y: Array, plane: int, rectify: bool) -> None:
    """y (N, filters, ...) = the sum of partial[0], partial[1], ... in this order, plus bias, perhaps rectified."""
    numbers = len(partial), y.size, y.shape[1], plane, rectify
    device.launch(FILE, "add_splits", (-(-y.size // 256),), (256,), (partial, bias, y, *map(np.int32, numbers)))
