"""Convolutions with few maps on one side, in fp32: what is launched. The kernels: first_layer.cu and to_colours.cu.

A picture has three colours. On its way in, every number of it is used by all filters, so a block keeps its piece of the picture
in shared memory; on the way down to pixels three outputs fill no tile of a matrix product. Shapes that do not fit into shared
memory go through the general product (convolution.py).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device
from kernels.cuda.geometry import TAP, Sides, output_phases
from kernels.cuda.products import pack_taps
from kernels.cuda.unpooling import Pooled

MOST_COLOURS = 3
TILE = 16  # as in first_layer.cu
ROWS, COLUMNS, PITCH, THREADS = 16, 32, 48, 64  # as in to_colours.cu
MAPS_AT_ONCE = 4
MOST_SHARED_BYTES = 112 * 1024  # two blocks on a multiprocessor of an H100 or H200; smaller GPUs allow a block less

FIRST_LAYER = np.dtype(
    [
        (name, np.int32)
        for name in (
            *("maps", "height", "width", "window_h", "window_w", "stride_h", "stride_w", "pad_h", "pad_w"),
            *("filters", "out_height", "out_width", "patch_rows", "patch_columns", "weights_pitch"),
            *("tiles_across", "tiles", "rectify"),
        )
    ]
)
DENSE = np.dtype([(n, np.int32) for n in ("rows", "columns", "place", "top", "left", "high", "wide", "weights")])
DOWNWARDS = np.dtype(
    [
        (name, np.int32)
        for name in (
            *("maps", "height", "width", "colours", "plane", "row_step", "column_step", "first_row", "first_column"),
            *("more_columns", "patch_rows", "maps_each", "weights_each", "tiles_across", "tiles"),
        )
    ]
)


def first_layer_filters(device: Device, w: Array, stride: Sides) -> int | None:
    """How many filters a block of first_layer.cu takes, 64 or 32; None where it does not fit or has no advantage."""
    filters, maps, *window = w.shape
    if maps > MOST_COLOURS or filters <= MOST_COLOURS:
        return None
    most = min(MOST_SHARED_BYTES, device.most_shared_bytes)
    for each in (64, 32):
        wasted = -filters % each
        if _first_layer_bytes(maps, (window[0], window[1]), stride, each) <= most and (wasted < 32 or each == 32):
            return each
    return None


def first_layer(
    device: Device, x: Array, w: Array, b: Array | None, y: Array, stride: Sides, pad: Sides, rectify: bool, each: int
) -> None:
    """y = conv2d(x, w, b), `each` filters in a block."""
    (images, maps, *size), (filters, _, *window), out = x.shape, w.shape, y.shape[2:]
    key = "first layer", maps, *window, stride
    taps = device.table(key, lambda: _first_layer_taps(maps, (window[0], window[1]), stride).view(np.int32))
    packed = pack_taps(device, w, taps, maps * window[0] * window[1], filters, w[0].size, -(-filters // each) * each)
    down, across = -(-out[0] // TILE), -(-out[1] // TILE)
    patch = _first_layer_patch((window[0], window[1]), stride)
    numbers = maps, *size, *window, *stride, *pad, filters, *out, *patch, packed.shape[1], across, down * across, rectify
    struct = np.array(tuple(numbers), FIRST_LAYER)
    grid = images * down * across, packed.shape[1] // each
    shared_bytes = _first_layer_bytes(maps, (window[0], window[1]), stride, each)
    device.launch("first_layer.cu", f"first_layer_{each}", grid, (each * 4,), (x, packed, b, y, struct), shared_bytes)


def _first_layer_patch(window: Sides, stride: Sides) -> Sides:
    """Rows and columns of the input that a block keeps; runs of four read a few rows further than the filter."""
    taps = -(-window[0] // stride[0])  # of the longest run
    runs = -(-taps // 4)
    return (TILE + runs * 4 - 1) * stride[0], (TILE - 1) * stride[1] + window[1]


def _first_layer_bytes(maps: int, window: Sides, stride: Sides, each: int) -> int:
    rows, columns = _first_layer_patch(window, stride)
    return 4 * maps * (window[0] * window[1] * each + rows * columns)


def _first_layer_taps(maps: int, window: Sides, stride: Sides) -> np.ndarray:
    """Where each tap's weight lies in a filter, in the order of first_layer.cu: [map][s][r mod stride][r div stride]."""
    rows = [r for phase in range(min(stride[0], window[0])) for r in range(phase, window[0], stride[0])]
    c, s, r = np.indices((maps, window[1], window[0])).reshape(3, -1)
    taps = np.zeros(c.size, TAP)
    taps["weight"] = (c * window[0] + np.array(rows)[r]) * window[1] + s
    return taps


@dataclass(frozen=True)
class Down:
    """A transposed convolution to few colours: its phases in groups that a block computes together, and its tables."""

    groups: int
    together: int  # phases in a group
    phases: np.ndarray  # DENSE
    taps: np.ndarray  # TAP, of which only `weight` counts
    first: Sides  # of the patch, seen from position (0, 0)
    more: Sides  # rows and columns of the patch beyond the outputs'
    weights_each: int  # floats of weights for one map and group


@lru_cache(maxsize=256)
def plan_down(filters: int, channels: int, window: Sides, stride: Sides, pad: Sides, out_size: Sides) -> Down:
    rows = list(output_phases(out_size[0], window[0], stride[0], pad[0]))
    columns = list(output_phases(out_size[1], window[1], stride[1], pad[1]))
    pairs = [(row, column) for row in rows for column in columns]
    together = 4 if len(pairs) % 4 == 0 else 1
    first, more = zip(*(_reach(side) for side in (rows, columns)), strict=True)
    # taps of one phase are [column][row]; every group has room for the weights of its largest phases
    counts = [row[2].size * column[2].size for row, column in pairs]
    sizes = [sum(counts[g : g + together]) for g in range(0, len(pairs), together)]
    largest = max(max(sizes), 1)
    phases, taps = np.zeros(len(pairs), DENSE), np.full((len(sizes), filters, largest), -1)
    for group in range(len(sizes)):
        at = 0
        for index in range(group * together, (group + 1) * together):
            (a, high, row_taps, row_reads), (b, wide, column_taps, column_reads) = pairs[index]
            top = int(row_reads[0]) - first[0] if row_taps.size else 0
            left = int(column_reads[0]) - first[1] if column_taps.size else 0
            phases[index] = high, wide, a * out_size[1] + b, top, left, row_taps.size, column_taps.size, at * 4
            k, j, i = np.indices((filters, column_taps.size, row_taps.size))
            weight = (k * channels * window[0] + row_taps[i]) * window[1] + column_taps[j]
            taps[group, :, at : at + counts[index]] = weight.reshape(filters, counts[index])
            at += counts[index]
    table = np.zeros(taps.size, TAP)
    table["weight"] = taps.reshape(-1)
    return Down(len(sizes), together, phases, table, (first[0], first[1]), (more[0] + 3, more[1]), largest * 4)


def _reach(phases: list) -> Sides:
    """(the first row that any phase reads for its output 0, how many more rows than outputs the patch must have)."""
    reads = [phase[3] for phase in phases if phase[3].size]
    low = min((int(read[0]) for read in reads), default=0)
    return low, max((int(read[-1]) for read in reads), default=0) - low


def to_colours_fits(filters: int, channels: int, window: Sides, stride: Sides) -> bool:
    """Whether to_colours.cu takes this shape: few colours, and a patch that fits."""
    columns = -(-window[1] // stride[1]) + 1
    rows = -(-window[0] // stride[0]) + 1
    weights = window[0] * window[1] * 16
    return (
        channels <= MOST_COLOURS and COLUMNS + columns <= PITCH and 2 * (weights + 4 * PITCH * (ROWS + 3 + rows)) <= 48 * 1024
    )


def to_colours(device: Device, dy: Array | Pooled, w: Array, dx: Array, stride: Sides, pad: Sides, small: Sides) -> None:
    """dx = conv2d_transpose(dy, w), dy (N,K,*small) stored, or computed from what a pooling left of it."""
    (images, channels, *size), (filters, _, *window) = dx.shape, w.shape
    key = "to colours", filters, channels, *window, stride, pad, *size
    plan = plan_down(filters, channels, (window[0], window[1]), stride, pad, (size[0], size[1]))
    phases = device.table((*key, "phases"), lambda: plan.phases.view(np.int32))
    taps = device.table((*key, "taps"), lambda: plan.taps.view(np.int32))
    packed = pack_taps(device, w, taps, plan.taps.size, channels, window[0] * window[1], 4)
    down, across = -(-int(plan.phases["rows"].max()) // ROWS), -(-int(plan.phases["columns"].max()) // COLUMNS)
    patch_rows = ROWS + plan.more[0]
    map_bytes = 2 * 4 * (plan.weights_each + patch_rows * PITCH)
    maps_each = max(1, min(MAPS_AT_ONCE, filters, 48 * 1024 // map_bytes))
    steps = stride[0] * size[1], stride[1]
    numbers = (
        *(filters, *small, channels, size[0] * size[1], *steps, *plan.first),
        *(plan.more[1], patch_rows, maps_each, plan.weights_each, across, down * across),
    )
    struct = np.array(numbers, DOWNWARDS)
    name = f"to_colours_{1 if channels == 1 else 3}x{plan.together}"
    grid = images * down * across, plan.groups
    args: tuple = packed, dx, phases, struct
    if isinstance(dy, Pooled):
        name, args = f"unpooled_{name}", (dy.y, dy.switches, dy.covers(device), dy.struct(), *args)
    else:
        args = dy, *args
    device.launch("to_colours.cu", name, grid, (THREADS,), args, maps_each * map_bytes)
