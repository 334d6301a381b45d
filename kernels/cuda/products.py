"""Before and after a product on tiles: filters are packed, partial sums added. The kernels: packing.cu."""

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device
from kernels.cuda.geometry import Plan

FILE = "packing.cu"


def tables(device: Device, plan: Plan) -> tuple[Array, Array]:
    """The plan's taps and phases on the device."""
    return (
        device.table(("taps", plan.key), lambda: plan.taps.view(np.int32)),
        device.table(("phases", plan.key), lambda: plan.phases.view(np.int32)),
    )


def pack_filters(device: Device, w: Array, plan: Plan, taps: Array, columns: int) -> Array:
    """The weights as [tap][filter], filters filled up with zeros to a multiple of `columns`."""
    pitch = -(-plan.filters // columns) * columns
    return pack_taps(device, w, taps, plan.taps.size, plan.filters, plan.filter_step, pitch)


def pack_taps(device: Device, w: Array, taps: Array, count: int, filters: int, filter_step: int, pitch: int) -> Array:
    """The weights as [count taps][pitch], zeros beyond `filters`; a filter of w lies `filter_step` numbers after the other."""
    packed = device.empty((max(count, 1), pitch))
    if count:
        numbers = count, filters, filter_step, pitch
        grid = -(-pitch // 32), -(-count // 32)
        device.launch(FILE, "pack_filters", grid, (32, 8), (w, packed, taps, *map(np.int32, numbers)))
    return packed


def add_splits(device: Device, partial: Array, bias: Array | None, y: Array, plane: int, rectify: bool) -> None:
    """y (N, filters, ...) = the sum of partial[0], partial[1], ... in this order, plus bias, perhaps rectified."""
    numbers = len(partial), y.size, y.shape[1], plane, rectify
    device.launch(FILE, "add_splits", (-(-y.size // 256),), (256,), (partial, bias, y, *map(np.int32, numbers)))
