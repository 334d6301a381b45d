"""The three convolutions and the fully connected layer on tensor cores, products in TF32: what is launched.

conv2d and conv2d_transpose: tensor_cores_conv.cu. conv2d_weight_grad: tensor_cores_weight_grad.cu. The fully connected layer is
a convolution with windows of 1 x 1 and images of one row, each of its three products the one whose loads fit the arrays:

    linear              y[n,g]  = sum over f of x[n,f] * w[g,f]     both run along the sum, like dy and x in a weight gradient
    linear_input_grad   dx[n,f] = sum over g of dy[n,g] * w[g,f]    w is an image of G maps and F pixels, dy the filters
    linear_weight_grad  dw[g,f] = sum over n of dy[n,g] * x[n,f]    x is an image of N maps and F pixels, dy the filters

Products carry 10 bits of mantissa, so results differ from fp32 by about 1e-3 of the sum of magnitudes. A window that needs more
than 15 rows or columns of the input at once does not fit the tables' bits: those convolutions are computed in fp32.
"""

import numpy as np

from kernels.backends import Array
from kernels.cuda import convolution, pooling, tiles, weight_grad
from kernels.cuda.device import Device
from kernels.cuda.few_maps import to_colours_fits
from kernels.cuda.geometry import Sides
from kernels.cuda.products import add_splits
from kernels.cuda.tensor_plans import (
    DEPTH,
    PLACE,
    REACH,
    DeepPlan,
    forward,
    places_of_pixels,
    places_of_taps,
    transposed,
    turned,
)
from kernels.cuda.tiles import Tile
from kernels.cuda.unpooling import Pooled
from kernels.sizes import conv_output_size

CONV_FILE, WEIGHT_GRAD_FILE = "tensor_cores_conv.cu", "tensor_cores_weight_grad.cu"
BUFFERS = 4  # as in tensor_cores.cuh
SUMS = np.dtype([(name, np.int32) for name in ("filters", "taps", "pixels", "map", "x_image", "dy_image", "part", "quads")])
# `issued`: instructions of one thread for one step of 16 in the code that NVRTC 13.0 makes for sm_90, or where that is longer
# the time of its mma, estimated at 6.5 cycles each.
CONVOLUTION = (
    Tile(128, 128, 128, 2, 416),
    Tile(128, 96, 128, 2, 312),
    Tile(128, 64, 128, 3, 211),
    Tile(64, 64, 128, 4, 153),
    Tile(128, 32, 128, 4, 189),
)
WEIGHT_GRAD = (
    Tile(128, 128, 128, 2, 450),
    Tile(128, 96, 128, 2, 400),
    Tile(128, 64, 128, 3, 315),
    Tile(64, 96, 128, 3, 295),
    Tile(64, 64, 128, 4, 235),
)


def conv2d(device: Device, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides, rectify: bool = False) -> Array:
    """x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q), rectified on the way out if asked."""
    (images, maps, *size), (filters, _, *window) = x.shape, w.shape
    if max(window) > REACH:
        return convolution.conv2d(device, x, w, b, stride, pad, rectify)
    out = conv_output_size(tuple(size), tuple(window), stride, pad)
    y = device.empty((images, filters, *out))
    if images:
        plan = forward(maps, tuple(size), filters, tuple(window), stride, pad, out)
        implicit_product(device, x, w, b, y, plan, rectify)
    return y


def conv2d_transpose(device: Device, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (images, filters, *small), (_, channels, *window) = dy.shape, w.shape
    if max(window) > REACH or to_colours_fits(filters, channels, tuple(window), stride):
        return convolution.conv2d_transpose(device, dy, w, stride, pad, size)
    dx = device.empty((images, channels, *size))
    if images:
        plan = transposed(filters, tuple(small), channels, tuple(window), stride, pad, size)
        implicit_product(device, dy, w, None, dx, plan, False)
    return dx


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
    """y, switches (N,K,U,V), w (K,C,R,S), size (H,W) -> dx (N,C,H,W): unpool, rectify, conv2d_transpose.

    The last step, to pixels, and steps so small that launches are what they cost are those of the fp32 implementation, which
    unpools where it reads. Elsewhere products dominate, and each number is read R*S / stride**2 times for every tile of
    channels: asking the pooling windows each time would cost more than a pass that unpools once.
    """
    pool, (filters, channels, *window) = (pool_size, pool_stride, pool_pad), w.shape
    maps = conv_output_size(size, tuple(window), stride, pad)
    in_the_reads = convolution.computing_pays(Pooled(y, switches, *pool, maps, collisions), w.shape, stride, size)
    if in_the_reads or max(window) > REACH or to_colours_fits(filters, channels, tuple(window), stride):
        return convolution.deconv_step(device, y, switches, *pool, w, stride, pad, size, collisions)
    signal = pooling.unpool2d(device, y, switches, *pool, maps, collisions, rectify=True)
    return conv2d_transpose(device, signal, w, stride, pad, size)


def conv2d_weight_grad(device: Device, x: Array, dy: Array, stride: Sides, pad: Sides, filter_size: Sides) -> Array:
    """x (N,C,H,W), dy (N,K,P,Q) -> dw (K,C,R,S)."""
    (images, channels, *size), (_, filters, *out) = x.shape, dy.shape
    shape = (filters, channels, *filter_size)
    if images == 0:
        return device.arrays.zeros(shape, np.float32)
    if max(filter_size) > REACH:
        return weight_grad.conv2d_weight_grad(device, x, dy, stride, pad, filter_size)
    dw = device.empty(shape)
    correlate(device, x, dy, None, dw, forward(channels, tuple(size), filters, filter_size, stride, pad, tuple(out)))
    return dw


def linear(device: Device, x: Array, w: Array, b: Array | None) -> Array:
    """x (N,F), w (G,F), b (G,) or None -> y (N,G)."""
    (images, features), outputs = x.shape, len(w)
    y = device.empty((images, outputs))
    if y.size:
        correlate(device, w, x, b, y, forward(outputs, (1, features), images, (1, 1), (1, 1), (0, 0), (1, features)))
    return y


def linear_input_grad(device: Device, dy: Array, w: Array) -> Array:
    """dy (N,G), w (G,F) -> dx (N,F)."""
    (outputs, features), images = w.shape, len(dy)
    dx = device.empty((1, images, 1, features))
    if dx.size:
        plan = forward(outputs, (1, features), images, (1, 1), (1, 1), (0, 0), (1, features))
        implicit_product(device, w, dy, None, dx, plan, False)
    return dx.reshape(images, features)


def linear_weight_grad(device: Device, x: Array, dy: Array) -> Array:
    """x (N,F), dy (N,G) -> dw (G,F)."""
    (images, features), outputs = x.shape, dy.shape[1]
    if images == 0:
        return device.arrays.zeros((outputs, features), np.float32)
    dw = device.empty((1, outputs, 1, features))
    plan = turned(images, (1, features), outputs, (1, 1), (1, 1), (0, 0), (1, features))
    implicit_product(device, x, dy, None, dw, plan, False)
    return dw.reshape(outputs, features)


def implicit_product(
    device: Device,
    x: Array,
    w: Array,
    b: Array | None,
    y: Array,
    plan: DeepPlan,
    rectify: bool,
    chosen: tuple[Tile, int] | None = None,
) -> None:
    """y = what `plan` describes; x (N, maps, H, W) or anything that lies so. `chosen` (tile, splits) overrules the choice."""
    images = x.size // (plan.maps * plan.size[0] * plan.size[1])
    pixels, steps = plan.pixels(images), int(plan.phases["taps"].max()) // DEPTH
    tile, splits = chosen or tiles.choose(CONVOLUTION, pixels, plan.filters, steps, len(plan.phases))
    places = device.table(("tensor places", plan.key), lambda: places_of_taps(plan).view(np.int32))
    phases = device.table(("tensor phases", plan.key), lambda: plan.phases.view(np.int32))
    packed = pack_rounded(device, w, plan, tile.columns)
    sums = y if splits == 1 else device.empty((splits, *y.shape))
    device.launch(
        CONV_FILE,
        f"tensor_conv_{tile.name}",
        (-(-pixels // tile.rows) * len(plan.phases) * -(-plan.filters // tile.columns), 1, splits),
        (tile.threads,),
        (
            x,
            packed,
            b,
            sums,
            places,
            phases,
            plan.struct(images, packed.shape[1], splits, rectify),
            *map(np.int32, plan.corner),
        ),
        shared_bytes(tile),
    )
    if splits > 1:
        add_splits(device, sums, b, y, y[0, 0].size, rectify)


def shared_bytes(tile: Tile) -> int:
    """The steps under way and their taps; at least the tile's way out, 32 filters of each warp."""
    steps = BUFFERS * (DEPTH * (tile.rows + 8 + tile.columns) * 4 + DEPTH * PLACE.itemsize)
    return max(steps, tile.columns * (tile.rows + 4) * 4)


def pack_rounded(device: Device, w: Array, plan: DeepPlan, columns: int) -> Array:
    """The weights in TF32 as [step][filter][16 taps], filters filled up with zeros to a multiple of `columns`."""
    pitch = -(-plan.filters // columns) * columns
    packed = device.empty((max(plan.taps.size // DEPTH, 1), pitch, DEPTH))
    if plan.taps.size:
        taps = device.table(("tensor taps", plan.key), lambda: plan.taps.view(np.int32))
        numbers = packed.size, plan.filters, plan.filter_step, pitch
        device.launch(CONV_FILE, "pack_rounded", (-(-packed.size // 256),), (256,), (w, packed, taps, *map(np.int32, numbers)))
    return packed


def correlate(
    device: Device, x: Array, dy: Array, b: Array | None, dw: Array, plan: DeepPlan, chosen: tuple[Tile, int] | None = None
) -> None:
    """dw (filters, taps) = the gradient for the filters of the convolution `plan`, plus b for each tap."""
    (height, width), (p, q) = plan.size, plan.out_size
    images, taps = x.size // (plan.maps * height * width), dw.size // plan.filters
    pixels = images * p * q
    tile, parts = chosen or weight_grad.choose(WEIGHT_GRAD, taps, plan.filters, pixels, DEPTH)
    part, parts = weight_grad.share(pixels, parts, DEPTH)
    across = -(-taps // tile.rows)
    length = across * tile.rows
    tap_places = device.table(("tensor places", plan.key, length), lambda: places_of_taps(plan, length).view(np.int32))
    pixel_places = device.table(("tensor pixels", plan.key), lambda: places_of_pixels(plan).view(np.int32))
    image = plan.maps * height * width, plan.filters * p * q
    sums = np.array((plan.filters, taps, pixels, p * q, *image, part, p * q % 4 == 0 and _address(dy) % 16 == 0), SUMS)
    partial = dw if parts == 1 and b is None else device.empty((parts, *dw.shape))
    device.launch(
        WEIGHT_GRAD_FILE,
        f"tensor_weight_grad_{tile.name}",
        (across, -(-plan.filters // tile.columns), parts),
        (tile.threads,),
        (x, dy, tap_places, pixel_places, partial, sums),
        BUFFERS * DEPTH * (tile.rows + 2 + tile.columns) * 4 + tile.rows * PLACE.itemsize,
    )
    if partial is not dw:
        add_splits(device, partial, b, dw, 1, False)


def _address(array: Array) -> int:
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return interface["data"][0]
