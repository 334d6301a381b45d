"""Rectifying, normalising and what a training step does beside its layers, in CUDA C++ on the emulator."""

import kernel_checks
import numpy as np
import pytest
from comparing import call, close, normal, same
from kernel_checks import Lrn
from planted_device import ORDERS, Ordered, Planted
from training_checks import check_bias_grad, check_renormalise_filters, check_sgd_update, check_softmax_cross_entropy

import kernels
from kernels import numpy_blas
from kernels.cuda import normalisation, pointwise, training
from kernels.emulator import KernelError
from kernels.emulator.traffic import watching

pytestmark = pytest.mark.compiler

F32 = np.dtype(np.float32)
CAUGHT = AssertionError, KernelError
OPERATIONS = ("relu", "relu_grad", "lrn", "lrn_grad", "bias_grad", "softmax_cross_entropy", "sgd_update", "renormalise_filters")
CHECKS = dict.fromkeys(pair for operation in OPERATIONS for pair in kernel_checks.CHECKS_OF[operation])
BLOCK = pointwise.THREADS * pointwise.EACH


@pytest.fixture(autouse=True)
def emulated():
    with kernels.use("cuda-emulated"):
        yield


@pytest.mark.parametrize(("check", "cases"), CHECKS, ids=[check.__name__ for check, _ in CHECKS])
def test_every_operation_is_the_definition(check, cases):
    for seed, case in enumerate(cases):
        check(case, seed, F32)


def strange(count, seed=0):
    """Numbers of both signs with NaN, infinities and both zeros among them."""
    rng = np.random.default_rng(seed)
    x = normal(rng, count, F32)
    x[rng.random(count) < 0.2] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0])
    return x


def beginning_at(offset, values):
    """The same numbers, `offset` floats behind a multiple of 16 bytes."""
    memory = np.zeros(values.size + 8, np.float32)
    first = -memory.ctypes.data // 4 % 4 + offset
    shifted = memory[first : first + values.size].reshape(values.shape)
    shifted[...] = values
    return shifted


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
@pytest.mark.parametrize("offset", [0, 1])
def test_rectifying_any_count_from_anywhere(count, offset):
    x, dy = beginning_at(offset, strange(count)), beginning_at(0, strange(count, 1))
    same("relu", call("relu", x), numpy_blas.relu(x))
    same("relu_grad", call("relu_grad", dy, x), numpy_blas.relu_grad(dy, x))


@pytest.mark.parametrize("count", [1023, 1024, 1025, 3000])
@pytest.mark.parametrize("offset", [0, 3])
def test_updating_any_count_from_anywhere(count, offset):
    rng = np.random.default_rng(2)
    w, v, dw = (normal(rng, count, F32) for _ in range(3))
    wide = w.astype(float), v.astype(float)
    numpy_blas.sgd_update(*wide, dw.astype(float), 0.1, 0.9, 0.05)
    w, v = beginning_at(offset, w), beginning_at(0, v)
    kernels.sgd_update(w, v, dw, 0.1, 0.9, 0.05)
    close("w", w, wide[0], 1e-6)
    close("v", v, wide[1], 1e-6)


@pytest.mark.parametrize(
    "shape",
    [(9, 3, 5, 7), (70, 2, 3, 5), (3, 300, 2, 2), (17, 2, 67, 3), (2, 3, 1, 3), (300, 70), (5, 33, 1, 1), (1, 1, 40, 33)],
)
def test_biases_of_many_images_few_pixels_and_neither(shape):
    dy = normal(np.random.default_rng(3), shape, F32)
    axes = (0, *range(2, dy.ndim))
    wide = dy.astype(float)
    bound = dy[:, 0].size * np.finfo(np.float32).eps * abs(wide).sum(axis=axes)
    close("bias_grad", call("bias_grad", dy), wide.sum(axis=axes), bound)
    close("bias_grad", call("bias_grad", beginning_at(2, dy)), wide.sum(axis=axes), bound)


def test_a_filter_that_holds_a_nan_stays():
    w = np.full((2, 300), 3, np.float32)
    w[0, 77] = np.nan
    before = w.copy()
    kernels.renormalise_filters(w, 0.1)
    same("the filter with a NaN", w[0], before[0])
    close("the other", w[1], np.full(300, 0.1), 1e-7)


# more maps than a thread walks, fewer than it looks ahead, a window wider than the maps; pixels of more than one block
LRNS = (
    Lrn((1, 37, 3, 5), 5, 0.5, 0.75, 2.0),
    Lrn((2, 33, 1, 7), 5, 0.9, 0.6, 1.0),
    Lrn((3, 3, 8, 11), 5, 0.5, 0.75, 1.0),
    Lrn((1, 19, 17, 16), 5, 0.5, 0.75, 2.0),
    Lrn((1, 50, 3, 2), 3, 0.5, 0.75, 2.0),
    Lrn((1, 35, 3, 2), 4, 0.5, 0.5, 2.0),
)


@pytest.mark.parametrize("case", LRNS, ids=str)
def test_normalising_in_pieces_of_maps(case):
    normalise_on(normalisation, None, case)


def normalise_on(module, device, case):
    rng = np.random.default_rng(4)
    x, dy = 3 * normal(rng, case.x, F32), normal(rng, case.x, F32)
    x[0, case.x[1] // 2, 0, 0] = np.nan
    if device is None:
        y, scale = call("lrn", x, *case[1:])
        dx = call("lrn_grad", dy, x, y, scale, *case[1:-1])
    else:
        y, scale = module.lrn(device, x, *case[1:])
        dx = module.lrn_grad(device, dy, x, y, scale, *case[1:-1])
    wide = x.astype(float)
    expected_y, expected_scale = numpy_blas.lrn(wide, *case[1:])
    close("scale", scale, expected_scale, 2e-6 * np.nan_to_num(expected_scale))
    close("y", y, expected_y, 4e-6 * abs(np.nan_to_num(expected_y)))
    expected = numpy_blas.lrn_grad(dy.astype(float), wide, expected_y, expected_scale, *case[1:-1])
    close("dx", dx, expected, 3e-5)


@pytest.mark.parametrize("order", ORDERS)
def test_any_schedule_gives_the_same_bits(order):
    device, rng = Ordered(order), np.random.default_rng(5)
    dy, logits, w = normal(rng, (20, 5, 7, 9), F32), normal(rng, (11, 67), F32), normal(rng, (4, 300), F32)
    labels = rng.integers(0, 67, 11).astype(np.int32)
    same("bias_grad", training.bias_grad(device, dy), call("bias_grad", dy))
    for one, other in zip(
        training.softmax_cross_entropy(device, logits, labels), call("softmax_cross_entropy", logits, labels), strict=True
    ):
        same("softmax_cross_entropy", one, other)
    other = w.copy()
    training.renormalise_filters(device, w, 0.1)
    kernels.renormalise_filters(other, 0.1)
    same("renormalise_filters", w, other)


def test_memory_is_asked_in_whole_lines():
    rng = np.random.default_rng(6)
    x, w, v = normal(rng, (2, 48, 16, 16), F32), normal(rng, 4096, F32), normal(rng, 4096, F32)
    y, scale = kernels.lrn(x, 5, 1e-4, 0.75, 2.0)

    def sectors(operation, *arguments):
        with watching() as launches:
            getattr(kernels, operation)(*arguments)
        return tuple(32 * sum(getattr(one, f"global_{way}_sectors") for one in launches) for way in ("read", "write"))

    size = x.nbytes
    assert sectors("relu", x) == (size, size)
    assert sectors("relu_grad", x, x) == (2 * size, size)
    assert sectors("sgd_update", w, v, v.copy(), 0.1, 0.9, 0.1) == (3 * w.nbytes, 2 * w.nbytes)
    read, written = sectors("lrn", x, 5, 1e-4, 0.75, 2.0)
    assert written == 2 * size
    assert size <= read <= 1.25 * size  # threads that share a column read four maps twice
    read, written = sectors("lrn_grad", x, x, y, scale, 5, 1e-4, 0.75)
    assert written == size
    assert 4 * size <= read <= 5 * size
    assert sectors("bias_grad", x)[0] <= size + 64 * 48


BUGS = (
    ("pointwise.cu", "-0 stays", "x <= 0.f ? 0.f : x", "x < 0.f ? 0.f : x"),
    ("pointwise.cu", "NaN becomes 0", "x <= 0.f ? 0.f : x", "x > 0.f ? x : 0.f"),
    ("pointwise.cu", "the gradient passes at 0", "y > 0.f ? dy", "y >= 0.f ? dy"),
    ("pointwise.cu", "the second half forgotten", "to[THREADS] =", "if (false) to[THREADS] ="),
    ("pointwise.cu", "alignment not asked", "(size_t)address % 16 == 0", "true"),
    ("pointwise.cu", "the tail left out", "i < end;", "i + 1 < end;"),
    ("normalisation.cu", "a window off by one", "read(first - REACH + j - 1)", "read(first - REACH + j)"),
    ("normalisation.cu", "the next map too early", "read(c0 + m + REACH)", "read(c0 + m + REACH - 1)"),
    ("normalisation.cu", "a running sum", "float squares = 0.f;\n#pragma unroll\n            for (int j = 0; j < WINDOW; ++j)",
     "static float squares = 0.f;\n            for (int j = 0; j < WINDOW; ++j)"),
    ("normalisation.cu", "the wrong root", "root * sqrtf(root)", "root"),
    ("normalisation.cu", "the other half of the gradient", "direct[0] - factor", "direct[0] + factor"),
    ("normalisation.cu", "the direct part of another map", "= direct[0] -", "= direct[1] -"),
    ("normalisation.cu", "windows mirrored", "max(0, c - before); d <= min(maps - 1, c + after)",
     "max(0, c - after); d <= min(maps - 1, c + before)"),
    ("training.cu", "one warp not added", "warp < WARPS; ++warp) total", "warp < WARPS - 1; ++warp) total"),
    ("training.cu", "no barrier before the sums are read", "= mine;\n    __syncthreads();", "= mine;"),
    ("training.cu", "the first numbers of a map left out", "if (lane < before) total", "if (false) total"),
    ("training.cu", "the last numbers of a map left out", "+ lane < pixels) total", "+ lane < 0) total"),
    ("training.cu", "images beyond the piece", "min(images, first + images_each)", "min(images, first + images_each + 1)"),
    ("training.cu", "not divided by the images", ") / images;", ");"),
    ("training.cu", "the largest not subtracted", "total += expf(row[g] - largest)", "total += expf(row[g])"),
    ("training.cu", "lanes do not hear of the largest", "__shfl_xor_sync(ALL_LANES, largest, distance)", "largest"),
    ("training.cu", "decay forgotten", " - shrink * w", ""),
    ("training.cu", "the step before the velocity", "v = momentum * v - rate * dw - shrink * w;\n    w += v;",
     "w += v;\n    v = momentum * v - rate * dw - shrink * w;"),
    ("training.cu", "a NaN filter becomes NaN altogether", "if (!(rms > radius)) return;", "if (rms <= radius) return;"),
    ("training.cu", "small filters grow", "if (!(rms > radius)) return;", ""),
)  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new"), [(b[0], *b[2:]) for b in BUGS], ids=[b[1] for b in BUGS])
def test_planted_bugs_are_caught(monkeypatch, file, old, new):
    with pytest.raises(CAUGHT):
        everything_of(file, Planted(file, old, new), monkeypatch)


@pytest.mark.parametrize("file", ["pointwise.cu", "normalisation.cu", "training.cu"])
def test_without_a_bug_nothing_is_caught(monkeypatch, file):
    everything_of(file, Planted(file, "THREADS", "THREADS"), monkeypatch)


def everything_of(file, device, monkeypatch):
    monkeypatch.setattr(kernels.backends.active().operations, "device", device)
    if file == "pointwise.cu":
        for count in (BLOCK - 1, BLOCK):
            for offset in (0, 1):
                test_rectifying_any_count_from_anywhere(count, offset)
    elif file == "normalisation.cu":
        for case in LRNS:
            normalise_on(normalisation, None, case)
    else:
        for shape in ((9, 3, 5, 7), (9, 3, 1, 3)):
            test_biases_of_many_images_few_pixels_and_neither(shape)
            check_bias_grad(shape, 1, F32)
        check_softmax_cross_entropy((5, 37), 2, F32)
        test_updating_any_count_from_anywhere(1025, 0)
        check_sgd_update((5, 3), 3, F32)
        check_renormalise_filters((5, 3, 11, 13), 4, F32)
        test_a_filter_that_holds_a_nan_stays()
