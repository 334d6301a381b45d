"""Every implementation gives what the definition gives: on fixed awkward shapes, and on whatever shapes hypothesis finds."""

import tracemalloc
from math import prod

import kernel_checks
import numba
import numpy as np
import pytest
import training_checks
from comparing import call, close, normal, product_error, same
from found_shapes import batch, convs, linears, lrns, maps, pools, seeds, side, steps, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import CHECKS, Conv, Step, check_stored

import kernels

SIMULATED = "numba-cuda-emulated"  # Python runs every thread, so only small cases; `test_numba_cuda` has a larger one of each
FAST = [name for name, reason in kernels.available().items() if reason is None and name != "reference"]
PAIRS = [(name, dtype) for name in FAST for dtype in kernels.backends.KNOWN[name].dtypes]
each_implementation = pytest.mark.parametrize(("name", "dtype"), PAIRS, ids=[f"{name}-{dtype}" for name, dtype in PAIRS])
COMPILED = [(name, dtype) for name, dtype in PAIRS if name != SIMULATED]
each_compiled = pytest.mark.parametrize(("name", "dtype"), COMPILED, ids=[f"{name}-{dtype}" for name, dtype in COMPILED])

SEARCHES = [
    *((check, convs(), 20) for check in (kernel_checks.check_conv2d, kernel_checks.check_conv2d_transpose)),
    *((check, convs(), 20) for check in (kernel_checks.check_conv2d_weight_grad, kernel_checks.check_conv_adjoint)),
    (kernel_checks.check_maxpool2d, pools(), 20),
    (kernel_checks.check_fused, pools(), 10),
    *((check, pools(), 20) for check in (kernel_checks.check_unpool2d, kernel_checks.check_pool_adjoint)),
    (kernel_checks.check_conv2d_relu, convs(), 10),
    (kernel_checks.check_deconv_step, steps(), 10),
    (kernel_checks.check_lrn, lrns(), 20),
    (kernel_checks.check_linear, linears, 20),
    (training_checks.check_bias_grad, tables | st.tuples(batch, maps, side, side), 20),
    (training_checks.check_softmax_cross_entropy, tables, 20),
    (training_checks.check_sgd_update, tables, 10),
    (training_checks.check_renormalise_filters, tables | st.tuples(batch, maps, side, side), 20),
]


@each_implementation
@pytest.mark.parametrize(("check", "cases"), CHECKS, ids=[check.__name__ for check, _ in CHECKS])
def test_fixed_shapes(name, dtype, check, cases):
    with kernels.use(name):
        for seed, case in enumerate(cases):
            if name != SIMULATED or products(case) < 100_000:
                check(case, seed, dtype)


def products(case):
    """How many a convolution sums; 0 for other cases."""
    conv = case.conv if isinstance(case, Step) else case
    return prod(conv.x) * conv.filters * prod(conv.window) if isinstance(conv, Conv) else 0


@each_implementation
@pytest.mark.parametrize(("check", "cases", "examples"), SEARCHES, ids=[check.__name__ for check, _, _ in SEARCHES])
def test_found_shapes(name, dtype, check, cases, examples):
    @settings(max_examples=examples // 10 if name == SIMULATED else examples, deadline=None, derandomize=True, database=None)
    @given(cases, seeds)
    def search(case, seed):
        with kernels.use(name):
            check(case, seed, dtype)

    search()


@each_implementation
def test_equals_pytorch(name, dtype):
    with kernels.use(name):
        check_stored(dtype)


@each_compiled
@pytest.mark.parametrize(
    ("shape", "filters", "window", "stride", "pad"),
    [
        ((5, 3, 64, 61), 32, 7, 2, 3),
        ((3, 48, 15, 17), 96, 3, 1, 1),
        ((2, 33, 31, 29), 65, 5, 2, 2),
        ((67, 20, 3, 5), 30, 1, 1, 0),
    ],
)
def test_shapes_beyond_loops(name, dtype, shape, filters, window, stride, pad):
    """Large enough for every blocked path; compared with NumPy in float64, which the other tests compare with the loops."""
    rng = np.random.default_rng(7)
    x, w, b = normal(rng, shape, dtype), normal(rng, (filters, shape[1], window, window), dtype), normal(rng, filters, dtype)
    dy = normal(rng, (shape[0], filters, *kernels.conv_output_size(shape[2:], window, stride, pad)), dtype)
    for operation, arguments, terms in (
        ("conv2d", (x, w, b, stride, pad), w[0].size),
        ("conv2d_transpose", (dy, w, stride, pad, shape[2:]), w[:, 0].size),
        ("conv2d_weight_grad", (x, dy, stride, pad, window), dy[:, 0].size),
    ):
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
        with kernels.use("numpy"):
            expected = getattr(kernels, operation)(*wide)
            magnitude = getattr(kernels, operation)(*[abs(a) if isinstance(a, np.ndarray) else a for a in wide])
        with kernels.use(name):
            # a tenth of the worst case, which the rounding of sums this long never comes near
            bound = (0.1 * (terms + 100) * np.finfo(dtype).eps + product_error(operation)) * magnitude
            close(operation, call(operation, *arguments), expected, bound)


def test_numpy_in_small_pieces(monkeypatch):
    """Cut by images, and by rows within an image, a convolution stays the same."""
    for piece_bytes in (1, 3000):
        monkeypatch.setattr("kernels.numpy_blas.PIECE_BYTES", piece_bytes)
        for check, cases in CHECKS[:3]:
            with kernels.use("numpy"):
                for seed, case in enumerate(cases):
                    check(case, seed, np.float64)


def test_numpy_holds_one_piece_of_columns(monkeypatch):
    """All columns of this batch would take 37 MB; a piece of 2 MB and its product are held at once."""
    monkeypatch.setattr("kernels.numpy_blas.PIECE_BYTES", 2 * 2**20)
    x, w = np.ones((64, 16, 32, 32), np.float32), np.ones((8, 16, 3, 3), np.float32)
    dy = np.ones((64, 8, 32, 32), np.float32)
    with kernels.use("numpy"):
        for work in (
            lambda: kernels.conv2d(x, w, None, 1, 1),
            lambda: kernels.conv2d_transpose(dy, w, 1, 1, 32),
            lambda: kernels.conv2d_weight_grad(x, dy, 1, 1, 3),
        ):
            tracemalloc.start()
            work()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 2 * 1.2 * x.nbytes + 2 * 2 * 2**20  # padded input and output, a piece and its product


@pytest.mark.parametrize("name", ["reference", *FAST])
def test_overflow_is_infinity_without_a_warning(name):
    large, ones = np.full((1, 1, 3, 3), 3e38, np.float32), np.ones((1, 1, 2, 2), np.float32)
    same_place = np.array([[[[3, 2, 2], [1, 0, 0], [1, 0, 0]]]], np.uint8)
    with kernels.use(name):
        for result in (
            kernels.conv2d(large, ones),
            kernels.conv2d_transpose(large, ones, 1, 0, 4)[..., 1:3, 1:3],
            kernels.conv2d_weight_grad(large, large, 1, 0, 1),
            kernels.lrn(large, 3, 1.0, 0.75, 1.0)[1],
            kernels.linear(large[0, 0], large[0, 0]),
            kernels.unpool2d(large, same_place, 2, 1, 1, 2)[0, 0, 0, 0],
        ):
            assert (result == np.inf).all()


@each_implementation
def test_inputs_may_be_read_only_strided_or_misaligned(name, dtype):
    rng = np.random.default_rng(3)
    x = normal(rng, (2, 3, 7, 5), dtype)
    read_only = x.copy()
    read_only.flags.writeable = False
    strided = np.repeat(x, 2, axis=3)[..., ::2]
    swapped = np.ascontiguousarray(x.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    misaligned = np.frombuffer(b"x" + x.tobytes(), dtype, offset=1).reshape(x.shape)

    def everything(x, w):
        y = kernels.conv2d(x, w, None, 2, 1)
        dx = kernels.conv2d_transpose(y, w, 2, 1, x.shape[2:])
        pooled, switches = kernels.maxpool2d(x, 2, 1)
        back = kernels.unpool2d(pooled, switches, 2, 1, 0, x.shape[2:])
        normalised, scale = kernels.lrn(x, 3, 0.1, 0.75, 2.0)
        return (
            y,
            dx,
            pooled,
            switches,
            back,
            normalised,
            kernels.lrn_grad(x, x, normalised, scale, 3, 0.1, 0.75),
            kernels.relu(x),
        )

    with kernels.use(name):
        expected = everything(x, x[:, :, :2, :3].copy())
        for other in (read_only, strided, swapped, misaligned):
            for one, two in zip(expected, everything(other, other[:, :, :2, :3]), strict=True):
                same("another layout", two, one)


def test_numba_gives_the_same_bits_with_one_thread():
    rng = np.random.default_rng(5)
    x, w = normal(rng, (5, 7, 23, 19), np.float32), normal(rng, (11, 7, 3, 3), np.float32)
    dy = normal(rng, (5, 11, 21, 17), np.float32)
    threads = numba.get_num_threads()
    results = []
    with kernels.use("numba"):
        for count in (threads, 1):
            numba.set_num_threads(count)
            try:
                dx, dw = kernels.conv2d_transpose(dy, w, 1, 0, (23, 19)), kernels.conv2d_weight_grad(x, dy, 1, 0, 3)
                results.append([kernels.conv2d(x, w), dx, dw, *kernels.maxpool2d(x, 3, 2), *kernels.lrn(x, 5, 0.1, 0.75, 2.0)])
            finally:
                numba.set_num_threads(threads)
    for one, other in zip(*results, strict=True):
        same("one thread", other, one)
