"""conv2d, its adjoint and the deconvnet's step, in fp32: which kernel, and what it is given.

Most shapes are a product on tiles (conv_fp32.cu); those with few maps on one side have kernels of their own (few_maps.py).
"""

import numpy as np

from kernels.backends import Array
from kernels.cuda import few_maps, geometry, pooling, tiles
from kernels.cuda.device import Device
from kernels.cuda.geometry import Plan, Sides
from kernels.cuda.products import add_splits, pack_filters, tables
from kernels.cuda.unpooling import Pooled
from kernels.sizes import conv_output_size

# What a number computed where it is read costs, against one stored and read back: instructions of a thread, and bytes. An H200
# issues about 2.9e13 instructions of threads in a second (132 multiprocessors, four warps, 1.7 GHz) and moves 4.3e12 bytes.
COMPUTED_INSTRUCTIONS = 140  # for a 3x3 window with stride 2: four windows are asked
CELL_INSTRUCTIONS = 45  # a quarter of a cell of 2 x 2 positions, which share them
NO_MAP_STORED = 1.25  # what it may cost more, for the memory of the map
INSTRUCTIONS_PER_S = 2.9e13
BYTES_PER_S = 4.3e12
LAUNCH_S = 3e-6


def conv2d(device: Device, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides, rectify: bool = False) -> Array:
    """x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q), rectified on the way out if asked."""
    (images, maps, *size), (filters, _, *window) = x.shape, w.shape
    out = conv_output_size(tuple(size), tuple(window), stride, pad)
    y = device.empty((images, filters, *out))
    if images == 0:
        return y
    few = few_maps.first_layer_filters(device, w, stride)
    if few:
        few_maps.first_layer(device, x, w, b, y, stride, pad, rectify, few)
    else:
        plan = geometry.forward(maps, tuple(size), filters, tuple(window), stride, pad, out)
        implicit_product(device, x, w, b, y, plan, rectify)
    return y


def conv2d_transpose(device: Device, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    return _downwards(device, dy, dy.shape[2:], w, stride, pad, size)


def deconv_step(
    device: Device,
    y: Array,
    switches: Array,
    pool_size: Sides,
    pool_stride: Sides,
    pool_pad: Sides,
    w: Array,
    stride: Sides,
    pad: Sides,
    size: Sides,
    collisions: str,
) -> Array:
    """conv2d_transpose(relu(unpool2d(y, switches)), w): y, switches (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    small = conv_output_size(size, tuple(w.shape[2:]), stride, pad)
    pooled = Pooled(y, switches, pool_size, pool_stride, pool_pad, small, collisions)
    if len(y) and computing_pays(pooled, w.shape, stride, size):
        return _downwards(device, pooled, small, w, stride, pad, size)
    dy = pooling.unpool2d(device, y, switches, pool_size, pool_stride, pool_pad, small, collisions, rectify=True)
    return conv2d_transpose(device, dy, w, stride, pad, size)


def computing_pays(pooled: Pooled, w: tuple[int, ...], stride: Sides, size: Sides) -> bool:
    """Whether to compute the unpooled map where it is read, instead of storing it; by counting, nobody has timed it.

    In the product on tiles every tap asks for its number anew: that pays only where a launch is what counts. In to_colours.cu
    a block computes each number once, for the paper's pooling a cell of four at a time: that comes out even.
    """
    filters, channels, *window = w
    numbers = len(pooled.y) * filters * pooled.whole[0] * pooled.whole[1]
    if few_maps.to_colours_fits(filters, channels, (window[0], window[1]), stride):
        asked = 1.3 * numbers  # once, and the patch's border
        each = CELL_INSTRUCTIONS if pooled.like_the_papers else COMPUTED_INSTRUCTIONS
    else:
        taps = window[0] * window[1] / (stride[0] * stride[1])
        asked = len(pooled.y) * filters * size[0] * size[1] * taps * -(-channels // 128)
        each = COMPUTED_INSTRUCTIONS
    storing_s = LAUNCH_S + 2 * 4 * numbers / BYTES_PER_S
    return asked * each / INSTRUCTIONS_PER_S < NO_MAP_STORED * storing_s


def _downwards(device: Device, dy: Array | Pooled, small: Sides, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
    (filters, channels, *window), images = w.shape, len(dy.y if isinstance(dy, Pooled) else dy)
    dx = device.empty((images, channels, *size))
    if images == 0:
        return dx
    if few_maps.to_colours_fits(filters, channels, tuple(window), stride):
        few_maps.to_colours(device, dy, w, dx, stride, pad, small)
    else:
        plan = geometry.transposed(filters, tuple(small), channels, tuple(window), stride, pad, size)
        implicit_product(device, dy, w, None, dx, plan, False)
    return dx


def implicit_product(device: Device, x: Array | Pooled, w: Array, b: Array | None, y: Array, plan: Plan, rectify: bool) -> None:
    """y = what `plan` describes, on tiles chosen for its shape."""
    images = len(y)
    tile, splits = tiles.choose(tiles.CONVOLUTION, plan.pixels(images), plan.filters, plan.steps, len(plan.phases))
    taps, phases = tables(device, plan)
    packed = pack_filters(device, w, plan, taps, tile.columns)
    sums = y if splits == 1 else device.empty((splits, *y.shape))
    grid = -(-plan.pixels(images) // tile.rows) * len(plan.phases), -(-plan.filters // tile.columns), splits
    struct = plan.struct(images, packed.shape[1], splits, rectify)
    name = f"tile_{tile.name}"
    if isinstance(x, Pooled):
        pooled_taps = device.table(("pooled taps", *x.y.shape[2:], plan.key), lambda: _in_pooled_maps(plan, x).view(np.int32))
        args = x.y, x.switches, x.covers(device), x.struct(), packed, sums, pooled_taps, phases, struct
        device.launch("deconv_step.cu", f"deconv_{name}", grid, (tile.threads,), args)
    else:
        device.launch("conv_fp32.cu", f"conv_{name}", grid, (tile.threads,), (x, packed, b, sums, taps, phases, struct))
    if splits > 1:
        add_splits(device, sums, b, y, y[0, 0].size, rectify)


def _in_pooled_maps(plan: Plan, pooled: Pooled) -> np.ndarray:
    """The taps with the beginning of their pooled map as offset."""
    taps = plan.taps.copy()
    real = taps["weight"] >= 0
    maps = (taps["offset"] - taps["row"] * plan.size[1] - taps["column"]) // (plan.size[0] * plan.size[1])
    taps["offset"] = np.where(real, maps * pooled.y[0, 0].size, 0)
    return taps
