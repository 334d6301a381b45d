"""conv2d, its adjoint and the deconvnet's step, in fp32: what is launched. The kernels: conv_fp32.cu."""

from kernels.backends import Array
from kernels.cuda import geometry, tiles
from kernels.cuda.device import Device
from kernels.cuda.geometry import Plan, Sides
from kernels.cuda.products import NOTHING, add_splits, pack_filters, tables
from kernels.sizes import conv_output_size

FILE = "conv_fp32.cu"


def conv2d(device: Device, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides, rectify: bool = False) -> Array:
    """x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q), rectified on the way out if asked."""
    (images, maps, *size), (filters, _, *window) = x.shape, w.shape
    out = conv_output_size(tuple(size), tuple(window), stride, pad)
    y = device.empty((images, filters, *out))
    if images:
        plan = geometry.forward(maps, tuple(size), filters, tuple(window), stride, pad, out)
        implicit_product(device, x, w, b, y, plan, rectify)
    return y


def conv2d_transpose(device: Device, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
    """dy (N,K,P,Q), w (K,C,R,S), size (H,W) -> dx (N,C,H,W)."""
    (images, filters, *small), (_, channels, *window) = dy.shape, w.shape
    dx = device.empty((images, channels, *size))
    if images:
        plan = geometry.transposed(filters, tuple(small), channels, tuple(window), stride, pad, size)
        implicit_product(device, dy, w, None, dx, plan, False)
    return dx


def implicit_product(device: Device, x: Array, w: Array, b: Array | None, y: Array, plan: Plan, rectify: bool) -> None:
    """y = what `plan` describes, on tiles chosen for its shape."""
    images = len(x)
    tile, splits = tiles.choose(tiles.CONVOLUTION, plan.pixels(images), plan.filters, plan.steps, len(plan.phases))
    taps, phases = tables(device, plan)
    packed = pack_filters(device, w, plan, taps, tile.columns)
    sums = y if splits == 1 else device.empty((splits, *y.shape))
    grid = -(-plan.pixels(images) // tile.rows) * len(plan.phases), -(-plan.filters // tile.columns), splits
    struct = plan.struct(images, packed.shape[1], splits, rectify)
    bias = NOTHING if b is None else b
    device.launch(FILE, f"conv_tile_{tile.name}", grid, (tile.threads,), (x, packed, bias, sums, taps, phases, struct))
    if splits > 1:
        add_splits(device, sums, bias, y, y[0, 0].size, rectify)
