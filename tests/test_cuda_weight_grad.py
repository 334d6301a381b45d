"""The gradient for the filters in fp32, executed by the emulator: every tile and edge, any schedule, any number of parts."""

from typing import NamedTuple

import numpy as np
import pytest
from comparing import close, normal, same
from planted_device import ORDERS, Ordered, Planted

import kernels
from kernels import numpy_blas
from kernels.cuda import emulated, tensor_cores, tiles, weight_grad
from kernels.cuda.weight_grad import STEP, TILES, conv2d_weight_grad
from kernels.emulator import KernelError

pytestmark = pytest.mark.compiler


class Case(NamedTuple):
    x: tuple[int, int, int, int]
    filters: int
    window: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    parts: int = 1


CASES = (
    Case((1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0)),
    Case((2, 7, 9, 8), 65, (3, 3), (1, 1), (1, 1)),  # 63 taps; 18 whole steps
    Case((2, 13, 7, 5), 97, (5, 2), (2, 1), (3, 1), 2),  # 130 taps; 60 pixels; padding larger than the filter minus one
    Case((3, 5, 11, 8), 129, (4, 2), (3, 3), (0, 1), 3),  # rows and columns that no filter reaches
    Case((19, 3, 3, 2), 9, (2, 2), (1, 1), (0, 0), 2),  # images smaller than a step
    Case((2, 2, 8, 11), 5, (1, 2), (3, 4), (0, 0)),  # a stride larger than the filter
    Case((1, 2, 19, 21), 3, (17, 16), (1, 2), (0, 0)),
)
each_tile = pytest.mark.parametrize("tile", TILES, ids=[tile.name for tile in TILES])


def arrays(case):
    rng = np.random.default_rng(5)
    out = kernels.conv_output_size(case.x[2:], case.window, case.stride, case.pad)
    return normal(rng, case.x, np.float32), normal(rng, (case.x[0], case.filters, *out), np.float32)


def compute(device, case, tile):
    x, dy = arrays(case)
    return conv2d_weight_grad(device, x, dy, case.stride, case.pad, case.window, (tile, case.parts))


def check(device, case, tile):
    x, dy = arrays(case)
    wide = x.astype(np.float64), dy.astype(np.float64)
    options = case.stride, case.pad, case.window
    bound = (dy[:, 0].size + 2) * np.finfo(np.float32).eps * numpy_blas.conv2d_weight_grad(*map(abs, wide), *options)
    close(tile.name, compute(device, case, tile), numpy_blas.conv2d_weight_grad(*wide, *options), bound)


@each_tile
def test_every_tile_at_its_edges(tile):
    for case in CASES:
        check(emulated.cpu, case, tile)


def test_same_bits_in_any_order_of_blocks_and_threads():
    for case in CASES[2:4]:
        first, *others = [compute(Ordered(order), case, TILES[-1]) for order in ORDERS]
        for other in others:
            same("conv2d_weight_grad", other, first)


def test_parts_are_added_in_their_order():
    """1e8 + 1 - 1e8 in fp32 is 0; only this order gives it."""
    dy = np.repeat(np.float32([1e8, 1, -1e8]), STEP).reshape(1, 1, 3, STEP)
    x = np.zeros((1, 1, 3, STEP), np.float32)
    x[..., 0] = 1  # one product in each part
    assert conv2d_weight_grad(emulated.cpu, x, dy, (1, 1), (0, 0), (1, 1), (TILES[-1], 3)) == 0
    order = [0, 2, 1]
    assert conv2d_weight_grad(emulated.cpu, x, dy[:, :, order], (1, 1), (0, 0), (1, 1), (TILES[-1], 3)) == 1


def test_no_image_is_no_gradient():
    with kernels.use("cuda-emulated"):
        dw = kernels.conv2d_weight_grad(np.zeros((0, 2, 4, 3), np.float32), np.zeros((0, 5, 3, 2), np.float32), 1, 0, 2)
    same("conv2d_weight_grad", dw, np.zeros((5, 2, 2, 2), np.float32))


ZFNET = ((147, 96, 110 * 110), (2400, 256, 26 * 26), (2304, 384, 13 * 13), (3456, 384, 13 * 13), (3456, 256, 13 * 13))


@pytest.mark.parametrize(("options", "step"), [(TILES, STEP), (tensor_cores.WEIGHT_GRAD, tensor_cores.DEPTH)])
@pytest.mark.parametrize(("taps", "filters", "pixels"), ZFNET)
def test_parts_fill_the_last_wave_of_blocks(options, step, taps, filters, pixels):
    """ZFNet's layers at batch 128: at least nine tenths of the multiprocessors' places have work until the end."""
    tile, parts = weight_grad.choose(options, taps, filters, 128 * pixels, step)
    part, parts = weight_grad.share(128 * pixels, parts, step)
    blocks = -(-taps // tile.rows) * -(-filters // tile.columns) * parts
    places = tiles.MULTIPROCESSORS * tile.resident
    assert blocks / (-(-blocks // places) * places) > 0.9
    assert part % step == 0
    assert (parts - 1) * part < 128 * pixels <= parts * part


BUGS = (
    ("cp_async_wait<STAGES - 2>();", ""),
    ("cp_async_wait<STAGES - 2>();", "cp_async_wait<STAGES - 1>();"),
    ("__syncthreads();              // everybody's", "//"),
    ("own_taps[i] = taps[first_tap + i];\n    __syncthreads();", "own_taps[i] = taps[first_tap + i];"),
    ("& int(m < end)", ""),
    ("m < end && lane + i < filters_left", "lane + i < filters_left"),
    ("m < end && lane + i < filters_left", "m < end"),
    ("int(unsigned(pixel.row + tap.row) < unsigned(sums.height)) &", ""),
    ("int(unsigned(pixel.column + tap.column) < unsigned(sums.width)) &", ""),
    ("pixel = pixels[pq];\n    });", "});"),
    ("pq >= sums.map", "pq > sums.map"),
    ("image += images_on;", ""),
    ("parts += (size_t)blockIdx.z * sums.filters * sums.taps;", ""),
    ("tile.column_of(j)", "tile.column_of(j ^ 1)"),
    ("if (tap < sums.taps)", ""),
)


def check_cases(device):
    for case in CASES[1:]:
        check(device, case, TILES[-1])


@pytest.mark.parametrize(("old", "new"), BUGS)
def test_planted_bugs_are_caught(old, new):
    device = Planted(weight_grad.FILE, old, new, "WEIGHT_GRAD(64, 64")
    with pytest.raises(KernelError if "__syncthreads" in old or "cp_async" in old else (KernelError, AssertionError)):
        check_cases(device)
