"""Convolutions and fully connected layers on tensor cores, executed by the emulator: every tile, every edge, every schedule."""

from typing import NamedTuple

import kernel_checks
import numpy as np
import pytest
from comparing import TF32, close, normal, same
from planted_device import ORDERS, Ordered, Planted

import kernels
from kernels import numpy_blas
from kernels.cuda import emulated, tensor_cores
from kernels.cuda.tensor_cores import CONVOLUTION, WEIGHT_GRAD
from kernels.emulator import KernelError
from kernels.emulator.traffic import watching

pytestmark = pytest.mark.compiler
PRODUCT = (1 + TF32) ** 2 - 1
CONV_FILE, WEIGHT_GRAD_FILE = tensor_cores.CONV_FILE, tensor_cores.WEIGHT_GRAD_FILE


class Case(NamedTuple):
    """A convolution of x with `filters` filters, on a tile chosen by its test, its sums in `splits` parts."""

    x: tuple[int, int, int, int]
    filters: int
    window: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    splits: int = 1


CASES = (
    Case((1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0)),  # one pixel, one tap
    Case((3, 16, 1, 43), 33, (1, 1), (1, 1), (0, 0)),  # 129 pixels, whole steps
    Case((2, 17, 9, 7), 65, (3, 3), (1, 1), (1, 1)),  # ten steps, the last with 9 taps; 126 pixels
    Case((2, 17, 9, 7), 65, (3, 3), (1, 1), (1, 1), 3),
    Case((5, 3, 11, 8), 97, (4, 2), (3, 3), (0, 1)),  # rows and columns that no filter reaches
    Case((2, 2, 8, 11), 5, (1, 2), (3, 4), (0, 0)),  # a stride larger than the filter: phases without taps
    Case((1, 5, 17, 6), 130, (15, 3), (2, 1), (7, 4)),  # the largest window; padding larger than the filter minus one
    Case((19, 6, 3, 2), 9, (2, 2), (1, 1), (0, 0), 2),  # images smaller than a step
    Case((4, 3, 6, 6), 13, (3, 3), (1, 1), (1, 1), 4),  # a multiple of four pixels: dy in copies of four
)
conv_tiles = pytest.mark.parametrize("tile", CONVOLUTION, ids=[tile.name for tile in CONVOLUTION])
weight_grad_tiles = pytest.mark.parametrize("tile", WEIGHT_GRAD, ids=[tile.name for tile in WEIGHT_GRAD])


def arrays(case, seed=0):
    rng = np.random.default_rng(seed)
    out = kernels.conv_output_size(case.x[2:], case.window, case.stride, case.pad)
    x, w = normal(rng, case.x, np.float32), normal(rng, (case.filters, case.x[1], *case.window), np.float32)
    return x, w, normal(rng, case.filters, np.float32), normal(rng, (case.x[0], case.filters, *out), np.float32)


def shape(case, out):
    """What `forward` takes after the maps and the size of the input."""
    return case.filters, case.window, case.stride, case.pad, out


def conv2d(device, case, tile, rectify=False):
    x, w, b, dy = arrays(case)
    y = device.empty(dy.shape)
    plan = tensor_cores.forward(case.x[1], case.x[2:], *shape(case, dy.shape[2:]))
    tensor_cores.implicit_product(device, x, w, b, y, plan, rectify, (tile, case.splits))
    return y


def conv2d_transpose(device, case, tile):
    _, w, _, dy = arrays(case)
    dx = device.empty(case.x)
    plan = tensor_cores.transposed(case.filters, dy.shape[2:], case.x[1], case.window, case.stride, case.pad, case.x[2:])
    tensor_cores.implicit_product(device, dy, w, None, dx, plan, False, (tile, case.splits))
    return dx


def weight_grad(device, case, tile):
    x, w, _, dy = arrays(case)
    dw = device.empty(w.shape)
    plan = tensor_cores.forward(case.x[1], case.x[2:], *shape(case, dy.shape[2:]))
    tensor_cores.correlate(device, x, dy, None, dw, plan, (tile, case.splits))
    return dw


def agrees(what, actual, terms, function, *arguments):
    """Within the bound of products of TF32 numbers, summed in fp32."""
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
    sizes = function(*[abs(a) if isinstance(a, np.ndarray) else a for a in wide])
    close(what, actual, function(*wide), (PRODUCT + (terms + 2) * np.finfo(np.float32).eps) * sizes)


def check_conv2d(device, case, tile):
    x, w, b, _ = arrays(case)
    rectify = case.filters % 2 == 1

    def function(*arguments):
        y = numpy_blas.conv2d(*arguments)
        return np.maximum(y, 0) if rectify else y

    agrees("conv2d", conv2d(device, case, tile, rectify), w[0].size, function, x, w, b, case.stride, case.pad)


def check_conv2d_transpose(device, case, tile):
    _, w, _, dy = arrays(case)
    arguments = dy, w, case.stride, case.pad, case.x[2:]
    dx = conv2d_transpose(device, case, tile)
    agrees("conv2d_transpose", dx, w[:, 0].size, numpy_blas.conv2d_transpose, *arguments)


def check_weight_grad(device, case, tile):
    x, _, _, dy = arrays(case)
    arguments = x, dy, case.stride, case.pad, case.window
    dw = weight_grad(device, case, tile)
    agrees("conv2d_weight_grad", dw, dy[:, 0].size, numpy_blas.conv2d_weight_grad, *arguments)


@conv_tiles
@pytest.mark.parametrize("check", [check_conv2d, check_conv2d_transpose])
def test_every_convolution_tile_at_its_edges(tile, check):
    for case in CASES:
        check(emulated.cpu, case, tile)


@weight_grad_tiles
def test_every_weight_gradient_tile_at_its_edges(tile):
    for case in CASES:
        check_weight_grad(emulated.cpu, case, tile)


@pytest.mark.parametrize(
    ("compute", "tile"), [(conv2d, CONVOLUTION[3]), (conv2d_transpose, CONVOLUTION[2]), (weight_grad, WEIGHT_GRAD[-1])]
)
def test_same_bits_in_any_order_of_blocks_and_threads(compute, tile):
    for case in (CASES[3], CASES[4]):
        first, *others = [compute(Ordered(order), case, tile) for order in ORDERS]
        for other in others:
            same(compute.__name__, other, first)


@pytest.mark.parametrize(
    ("compute", "tile"), [*((conv2d, tile) for tile in CONVOLUTION), *((weight_grad, tile) for tile in WEIGHT_GRAD)]
)
def test_neighbouring_lanes_ask_different_banks(compute, tile):
    """Shared memory serves 128 bytes in a pass, and layouts are made so that few passes serve less."""
    case = Case((2, 32, 16, 16), 96, (3, 3), (1, 1), (1, 1))
    with watching() as launches:
        compute(emulated.cpu, case, tile)
    product = launches[-1]
    assert product.shared_read_passes <= 1.03 * product.shared_read_bytes / 128
    assert product.shared_write_passes <= 1.03 * product.shared_write_bytes / 128


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (CONV_FILE, "A_ROW = PIXELS + 8", "A_ROW = PIXELS + 4"),
        (CONV_FILE, "OUT_ROW = PIXELS + 4", "OUT_ROW = PIXELS"),
        (WEIGHT_GRAD_FILE, "A_ROW = TAPS + 2", "A_ROW = TAPS"),
    ],
)
def test_rows_of_another_length_would_ask_the_same_banks(monkeypatch, file, old, new):
    monkeypatch.setattr(emulated, "cpu", Planted(file, old, new))
    compute, tile = (conv2d, CONVOLUTION[3]) if file == CONV_FILE else (weight_grad, WEIGHT_GRAD[-1])
    with pytest.raises(AssertionError):
        test_neighbouring_lanes_ask_different_banks(compute, tile)


def rounded(array):
    """To 10 places, to the nearest, ties away from zero: by arithmetic on the bits, as TF32 is defined."""
    return ((array.view(np.uint32) + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)


NEAR_TIES = 1 + np.float32(TF32) * np.array([1, 1 - 2**-12, 1 + 2**-12, 3, 3 - 2**-12, -1, 0.25], np.float32)


@pytest.mark.parametrize("of_x", [True, False])
def test_each_factor_is_rounded_to_the_nearest_before_the_product(of_x):
    values, ones = np.concatenate([NEAR_TIES, -NEAR_TIES]), np.ones(1, np.float32)
    x, w = (values, ones) if of_x else (ones, values)
    expected = np.outer(rounded(x), rounded(w))  # exact: one factor is 1
    x_rows, w_rows = x.reshape(-1, 1), w.reshape(-1, 1)
    with kernels.use("cuda-tf32-emulated"):
        same("conv2d", kernels.conv2d(x.reshape(-1, 1, 1, 1), w.reshape(-1, 1, 1, 1))[:, :, 0, 0], expected)
        same("linear", kernels.linear(x_rows, w_rows), expected)
        same("linear_input_grad", kernels.linear_input_grad(x_rows, w.reshape(1, -1)), expected)
        same("linear_weight_grad", kernels.linear_weight_grad(x.reshape(1, -1), w.reshape(1, -1)), expected.T.copy())
        dw = kernels.conv2d_weight_grad(x.reshape(1, -1, 1, 1), w.reshape(1, -1, 1, 1), 1, 0, 1)
        same("conv2d_weight_grad", dw[:, :, 0, 0], expected.T.copy())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_where_they_are_seen(value):
    """Even the NaN that a GPU makes, all mantissa bits set: rounding must not carry it over into a number."""
    x, w = np.zeros((2, 16, 3, 40), np.float32), np.ones((16, 16, 3, 3), np.float32)
    x[1, 3, 1, 7] = value if value == value else np.uint32(0x7FFFFFFF).view(np.float32)
    with kernels.use("cuda-tf32-emulated"):
        results = kernels.conv2d(x, w, None, 1, 1), kernels.conv2d_transpose(x, w, 1, 1, (3, 40))
    for y in results:
        seen = np.zeros(y.shape, bool)
        seen[1, :, :, 6:9] = True
        np.testing.assert_array_equal(y[seen], np.float32(value))
        np.testing.assert_array_equal(y[~seen], 0)


@pytest.mark.parametrize(
    ("images", "features", "outputs"), [(1, 1, 1), (3, 130, 67), (129, 20, 15), (2, 1000, 33), (5, 17, 129)]
)
def test_fully_connected(images, features, outputs):
    with kernels.use("cuda-tf32-emulated"):
        kernel_checks.check_linear((images, features, outputs), 0, np.float32)


@pytest.mark.parametrize("computing_pays", [False, True])
def test_deconvnet_step_to_many_channels(monkeypatch, computing_pays):
    """A large step unpools once, then multiplies on tensor cores; a small one is that of the fp32 implementation."""
    monkeypatch.setattr("kernels.cuda.convolution.computing_pays", lambda *_: computing_pays)
    case = kernel_checks.Step(kernel_checks.Conv((2, 11, 13, 9), 7, (3, 3), (2, 2), (1, 1)), (3, 2), (2, 1), (1, 0))
    _, w, _, maps = kernel_checks.conv_arrays(case.conv, 0, np.float32)
    with kernels.use("cuda-tf32-emulated"):
        kernel_checks.check_deconv_step(case, 0, np.float32)
        y, switches = kernels.maxpool2d(maps, *case[1:])
        arguments = y, switches, *case[1:], w, case.conv.stride, case.conv.pad, case.conv.x[2:]
        dx = kernels.deconv_step(*arguments)
        signal = kernels.unpool_relu(y, switches, *case[1:], maps.shape[2:])
        if not computing_pays:
            same("deconv_step", dx, kernels.conv2d_transpose(signal, w, 2, 1, case.conv.x[2:]))
    if computing_pays:
        with kernels.use("cuda-emulated"):
            same("deconv_step", dx, kernels.deconv_step(*arguments))


def test_gradients_that_begin_anywhere_in_memory():
    """Copies of four pixels want 16-byte addresses; an array inside a larger one may begin between them."""
    case = CASES[8]
    x, _, _, dy = arrays(case)
    results = []
    for first in range(4):
        flat = np.zeros(dy.size + 4, np.float32)
        inside = flat[first : first + dy.size].reshape(dy.shape)
        inside[:] = dy
        with kernels.use("cuda-tf32-emulated"):
            results.append(kernels.conv2d_weight_grad(x, inside, case.stride, case.pad, case.window))
    for other in results[1:]:
        same("conv2d_weight_grad", other, results[0])


def test_what_tensor_cores_do_not_pay_for_is_fp32():
    wide = Case((1, 9, 20, 18), 10, (16, 2), (1, 1), (0, 0))  # a window of 16 rows
    few = Case((2, 3, 9, 8), 12, (3, 3), (2, 2), (1, 1))  # to three colours
    for case, operations in ((wide, 3), (few, 1)):
        x, w, b, dy = arrays(case)
        calls = (
            ("conv2d_transpose", (dy, w, case.stride, case.pad, case.x[2:])),
            ("conv2d", (x, w, b, case.stride, case.pad)),
            ("conv2d_weight_grad", (x, dy, case.stride, case.pad, case.window)),
        )
        for operation, arguments in calls[:operations]:
            results = []
            for name in ("cuda-tf32-emulated", "cuda-emulated"):
                with kernels.use(name):
                    results.append(getattr(kernels, operation)(*arguments))
            same(operation, *results)


WAIT, BARRIER = "cp_async_wait<BUFFERS - 2>();", "__syncthreads();                 // everybody's"
BOTH_FILES = (
    (WAIT, ""),
    (WAIT, "cp_async_wait<BUFFERS - 1>();"),  # one group too few
    (BARRIER, "//"),
    ("a[k][i][half * 2] = to_tf32(pair.x);", "a[k][i][half * 2] = to_tf32(pair.y);"),
    ("&a_tile[(k * ", "&a_tile[((1 - k) * "),
    ("a[k][i][half * 2 + 1] =", "a[k][i][(1 - half) * 2 + 1] ="),
    ("(first_filter + g) * DEPTH", "(first_filter + q) * DEPTH"),
    ("mma_tf32_16x8x8(sums[i][j], a[k][i], b[k])", "mma_tf32_16x8x8(sums[i][j], a[k][i], b[0])"),
    ("(tap_bits & ~pixel_bits) == 0", "(tap_bits & ~pixel_bits & ~0xffff) == 0"),  # rows in the padding
    ("(tap_bits & ~pixel_bits) == 0", "(tap_bits & ~pixel_bits & 0xffff) == 0"),  # columns in the padding
)
CONV_BUGS = (
    *BOTH_FILES,
    ("__syncthreads();    // nobody reads", "//"),
    ("tile.lay_out(shared, part);\n        __syncthreads();", "tile.lay_out(shared, part);"),
    ("copy_table(ahead + BUFFERS - 1);", "copy_table(ahead + BUFFERS);"),
    ("copy_table(ahead + BUFFERS - 1);", ""),
    ("make_float2(sum[e], sum[e + 2])", "make_float2(sum[e + 2], sum[e])"),
    ("blockIdx.x / across / g.phases * PIXELS", "blockIdx.x / across * PIXELS"),
    ("if (g.splits == 1) {", "{"),  # the bias in each part
    ("at / 4 + at % 2 * 4 + at / 2 % 2 * 8", "at"),
    ("steps = min(each, ", "steps = max(each, "),
    ("int first_row, int first_column) {\n    using", "int first_column, int first_row) {\n    using"),
)
WEIGHT_GRAD_BUGS = (
    *BOTH_FILES,
    ("of_x.m < end ? pixel.bits : 0", "pixel.bits"),
    ("pixel = pixels[of_x.pq];\n    };", "};"),
    ("pq >= map", "pq > map"),
    ("image += images_on;", ""),
    ("there & 1 << i", "there & 2 << i"),
    ("parts += (size_t)blockIdx.z * sums.filters * sums.taps;", ""),
    ("j * 8 + tile.q * 2 + e", "j * 8 + tile.q + e * 4"),
    ("sums.quads ? t % 4 * 4", "sums.quads ? t / 4 % 4 * 4"),
)
BUGS = [(CONV_FILE, *bug) for bug in CONV_BUGS] + [(WEIGHT_GRAD_FILE, *bug) for bug in WEIGHT_GRAD_BUGS]


def check_cases(device, file):
    for case in CASES[2:]:
        if file == CONV_FILE:
            check_conv2d(device, case, CONVOLUTION[3])
            check_conv2d_transpose(device, case, CONVOLUTION[3])
        else:
            check_weight_grad(device, case, WEIGHT_GRAD[-1])


@pytest.mark.parametrize(("file", "old", "new"), BUGS)
def test_planted_bugs_are_caught(file, old, new):
    """A kernel that waits or meets too little is refused by the emulator; one that takes other numbers computes too far off."""
    device = Planted(file, old, new, "TENSOR_CONV(64, 64" if file == CONV_FILE else "TENSOR_WEIGHT_GRAD(64, 64")
    with pytest.raises(KernelError if "__syncthreads" in old or "cp_async" in old else (KernelError, AssertionError)):
        check_cases(device, file)


@pytest.mark.parametrize(
    ("file", "old", "new", "of_x"),
    [
        (CONV_FILE, "to_tf32(pair.x)", "__float_as_uint(pair.x)", True),
        (
            CONV_FILE,
            "__uint_as_float(to_tf32(w[(size_t)filter * filter_step + weight]))",
            "w[filter * filter_step + weight]",
            False,
        ),
        (WEIGHT_GRAD_FILE, "to_tf32(pair.y)", "__float_as_uint(pair.y)", False),
        (WEIGHT_GRAD_FILE, "to_tf32(pixels.x)", "__float_as_uint(pixels.x)", True),
    ],
)
def test_a_factor_that_is_cut_off_instead_of_rounded_is_seen(monkeypatch, file, old, new, of_x):
    monkeypatch.setattr(emulated.tf32, "device", Planted(file, old, new))
    with pytest.raises(AssertionError):
        test_each_factor_is_rounded_to_the_nearest_before_the_product(of_x)
