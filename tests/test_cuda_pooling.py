"""Pooling with switches and unpooling in CUDA C++, on the emulator: every kernel, every edge of a band, any schedule."""

import numpy as np
import pytest
from comparing import call, close, same
from kernel_checks import POOLS, Pool, check_fused, check_maxpool2d, check_unpool2d, pool_inputs
from planted_device import ORDERS, Ordered, Planted

import kernels
from kernels import numpy_blas, reference
from kernels.cuda import pooling
from kernels.cuda.pooling import WIDEST_BAND, plan_maxpool, plan_unpool, share_out
from kernels.emulator import KernelError
from kernels.emulator.traffic import watching

pytestmark = pytest.mark.compiler

F32 = np.dtype(np.float32)
# of the kernels with bands: 3x3 and 2x2 with stride 2, any padding, sizes that end anywhere in a tower, a band or 16 bytes
BANDED = (
    Pool((1, 1, 3, 3), (3, 3), (2, 2), (0, 0)),
    Pool((2, 3, 9, 7), (3, 3), (2, 2), (1, 1)),
    Pool((1, 5, 10, 8), (3, 3), (2, 2), (2, 1)),
    Pool((2, 2, 7, 12), (3, 3), (2, 2), (0, 2)),
    Pool((3, 1, 1, 1), (3, 3), (2, 2), (1, 1)),
    Pool((1, 2, 8, 6), (3, 3), (2, 2), (1, 1)),
    Pool((1, 2, 1, 6), (3, 3), (2, 2), (1, 0)),
    Pool((2, 3, 8, 10), (2, 2), (2, 2), (0, 0)),
    Pool((1, 7, 9, 5), (2, 2), (2, 2), (1, 0)),  # the last row is read by no window
    Pool((2, 1, 6, 11), (2, 2), (2, 2), (0, 1)),
)
# larger than one band: several planes a block with some left over, several bands a plane with some rows left over
LARGE = (
    Pool((1, 29, 13, 13), (3, 3), (2, 2), (0, 0)),
    Pool((1, 2, 67, 71), (3, 3), (2, 2), (1, 1)),
    Pool((1, 1, 9, 1501), (3, 3), (2, 2), (1, 1)),  # a band of one row of windows
    Pool((1, 3, 53, 59), (2, 2), (2, 2), (1, 1)),
)
TOO_WIDE = Pool((1, 1, 3, 6151), (3, 3), (2, 2), (1, 1))


@pytest.fixture(autouse=True)
def emulated():
    with kernels.use("cuda-emulated"):
        yield


@pytest.mark.parametrize("case", [*BANDED, *POOLS], ids=str)
def test_every_kernel_is_the_definition(case):
    check_maxpool2d(case, 1, F32)
    check_unpool2d(case, 2, F32)
    check_fused(case, 3, F32)


@pytest.fixture(params=["bands for a small machine", "bands for many blocks"])
def bands(request, monkeypatch):
    """Bands as they are where blocks are many, also for small arrays: several towers a thread, several planes a block."""
    plans = plan_maxpool, plan_unpool
    if request.param == "bands for many blocks":
        monkeypatch.setattr(pooling, "ENOUGH_BLOCKS", 1)
    for plan in plans:
        plan.cache_clear()
    yield
    for plan in plans:
        plan.cache_clear()


@pytest.mark.parametrize("case", [*LARGE, TOO_WIDE], ids=str)
def test_many_bands(case, bands):
    for x in pool_inputs(case, 4, F32)[:2]:
        y, switches = call("maxpool2d", x, *case[1:])
        expected = numpy_blas.maxpool2d(x, *case[1:])
        same("y", y, expected[0])
        same("switches", switches, expected[1])
        for collisions in kernels.COLLISIONS:
            arguments = y, switches, *case[1:], case.x[2:], collisions
            close(collisions, call("unpool2d", *arguments), numpy_blas.unpool2d(*arguments), 4e-6)


def kernels_used(case):
    pooled = (*case.x[:2], *kernels.pool_output_size(case.x[2:], *case[1:]))
    return plan_maxpool(case.x, *case[1:]).kernel, plan_unpool(pooled, *case[1:], case.x[2:], "max").kernel


def test_which_kernel_serves_which_window():
    assert {kernels_used(case) for case in BANDED} == {
        ("maxpool2d_3x3_stride2", "unpool2d_3x3_stride2_max"),
        ("maxpool2d_2x2_stride2", "unpool2d_2x2_stride2"),
    }
    assert kernels_used(TOO_WIDE) == ("maxpool2d_any", "unpool2d_any_max")
    assert all(kernels_used(case)[0] != "maxpool2d_any" for case in LARGE)
    assert kernels_used(POOLS[2]) == ("maxpool2d_any", "unpool2d_any_max")


@pytest.mark.parametrize("order", ORDERS)
def test_any_schedule_gives_the_same_bits(order):
    device = Ordered(order)
    for case in (BANDED[1], LARGE[0], BANDED[7], POOLS[4]):
        x = pool_inputs(case, 5, F32)[1]
        y, switches = pooling.maxpool2d(device, x, *case[1:])
        same("switches", switches, numpy_blas.maxpool2d(x, *case[1:])[1])
        for collisions in kernels.COLLISIONS:
            result = pooling.unpool2d(device, y, switches, *case[1:], case.x[2:], collisions)
            same(collisions, result, call("unpool2d", y, switches, *case[1:], case.x[2:], collisions))


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_arrays_that_begin_anywhere_in_16_bytes(offset):
    case = BANDED[2]
    x = pool_inputs(case, 6, F32)[0]
    memory = np.zeros(x.size + 4, np.float32)
    shifted = memory[offset : offset + x.size].reshape(x.shape)
    shifted[...] = x
    assert kernels.contract.floats("maxpool2d", kernels.backends.active(), "x", shifted, "NCHW") is shifted
    y, switches = call("maxpool2d", shifted, *case[1:])
    same("y", y, reference.maxpool2d(x, *case[1:])[0])
    same("switches", switches, reference.maxpool2d(x, *case[1:])[1])


def test_every_number_is_read_once_and_written_once():
    case = Pool((2, 48, 32, 32), (3, 3), (2, 2), (1, 1))
    x = pool_inputs(case, 7, F32)[0]
    with watching() as launches:
        y, switches = kernels.maxpool2d(x, *case[1:])
        kernels.unpool2d(y, switches, *case[1:], case.x[2:])
    pool, unpool = launches
    assert pool.global_read_bytes == x.nbytes
    assert pool.global_read_sectors == x.nbytes // 32  # whole lines: 16 bytes a lane, side by side
    assert pool.global_write_bytes == y.nbytes + switches.nbytes
    assert unpool.global_write_bytes == x.nbytes
    assert unpool.global_write_sectors == x.nbytes // 32
    assert unpool.global_read_bytes <= 3 * (y.nbytes + switches.nbytes)  # neighbouring cells ask again, of the caches


def test_planes_and_rows_of_a_band():
    assert share_out(planes=3, rows=5, row_floats=20, extra_floats=4, plane_floats=100).planes == 3
    many = share_out(planes=10**6, rows=5, row_floats=20, extra_floats=0, plane_floats=100)
    assert (many.planes, many.rows, many.blocks) == (40, 5, 25000)
    few = share_out(planes=2048, rows=5, row_floats=20, extra_floats=0, plane_floats=100)
    assert few.blocks == 205  # less than the GPU could take, but a block too small costs as well
    tall = share_out(planes=1, rows=1000, row_floats=220, extra_floats=110, plane_floats=220000)
    assert tall.planes == 1
    assert tall.shared_bytes <= 4 * (4096 + 3)
    assert share_out(1, 2, WIDEST_BAND + 1, 0, 2 * WIDEST_BAND + 2) is None


def test_no_images_launch_nothing():
    with watching() as launches:
        y, switches = kernels.maxpool2d(np.zeros((0, 3, 4, 5), np.float32), 2, 2)
        assert kernels.unpool2d(y, switches, 2, 2, 0, (4, 5)).shape == (0, 3, 4, 5)
    assert launches == []


MAXPOOL_BUGS = (
    ("the last of equals wins", "!(other <= value)", "!(other < value)"),
    ("a NaN is replaced by the next", "!(other <= value) && value == value", "!(other <= value)"),
    ("NaN never wins", "!(other <= value)", "other > value"),
    ("padding wins", "if ((unsigned)(j + s) < width) best.look(corner[row * width + s], s)",
     "best.look((unsigned)(j + s) < width ? corner[row * width + s] : 0.f, s)"),
    ("all of -inf names the padding", "max(0, -top) * across + max(0, -left)", "0"),
    ("rectified windows keep their switch", "value = 0.f, place = first.place", "value = 0.f"),
    ("rows and columns of a place swapped", "r * SIZE + best.place", "best.place * SIZE + r"),
    ("a tower runs into the next band", "if (p + t >= first_row + rows) break;", ""),
    ("no barrier after the copy", "cp_async_wait<0>();\n    __syncthreads();", "cp_async_wait<0>();"),
    ("no wait for the copy", "cp_async_wait<0>();\n    __syncthreads();", "__syncthreads();"),
    ("the carry of a place forgotten", "if (column >= columns) column -= columns, ++row;", ""),
    ("the last numbers of a band left out", "i < count; i += blockDim.x) cp", "i < count - 1; i += blockDim.x) cp"),
    ("the shift of a band forgotten", "float* band = shared + shift_of(from);", "float* band = shared;"),
)  # fmt: skip
UNPOOL_BUGS = (
    ("the window after is never asked", "REACH = (SIZE - 1) / STRIDE", "REACH = 0"),
    ("windows in another order", "for (int m = 0; m < DOWN; ++m)", "for (int m = DOWN - 1; m >= 0; --m)"),
    ("positions without a value are left unwritten", "cell[down * width + across] = gathered.result(rectify)",
     "if (gathered.named) cell[down * width + across] = gathered.result(rectify)"),
    ("windows beyond the last are asked", "(unsigned)(q + n) < out_width", "q + n >= 0"),
    ("no barrier before the copy out", "int count) {\n    __syncthreads();\n", "int count) {\n"),
    ("the first numbers left out", "i < before; i += blockDim.x) to[i]", "i < before - 1; i += blockDim.x) to[i]"),
    ("padding counted twice", "(height + pad_height + STEP - 1) / STEP", "(height + STEP - 1) / STEP"),
    ("rectified never", "gathered.result(rectify)", "gathered.result(false)"),
    ("the mean of one too many", "value / named", "value / (named + 1)"),
    ("a NaN loses", "!named || other > value || other != other", "!named || other > value"),
)  # fmt: skip
CAUGHT = AssertionError, KernelError


TRIED = (*BANDED[:6], LARGE[0], LARGE[3])


def pool_on(device):
    for case in TRIED:
        for x in pool_inputs(case, 8, F32):
            for rectify in (False, True):
                y, switches = pooling.maxpool2d(device, x, *case[1:], rectify)
                expected = (numpy_blas.relu_maxpool if rectify else numpy_blas.maxpool2d)(x, *case[1:])
                same("switches", switches, expected[1])
                close("y", y, expected[0], 0)


def unpool_on(device):
    rng = np.random.default_rng(9)
    for case in TRIED:
        switches = numpy_blas.maxpool2d(pool_inputs(case, 8, F32)[1], *case[1:])[1]
        y = rng.standard_normal(switches.shape, dtype=np.float32)
        y[rng.random(y.shape) < 0.1] = np.nan
        for rectify in (False, True):
            for collisions in kernels.COLLISIONS:
                arguments = y, switches, *case[1:], case.x[2:], collisions
                result = pooling.unpool2d(device, *arguments, rectify)
                expected = (numpy_blas.unpool_relu if rectify else numpy_blas.unpool2d)(*arguments)
                close(collisions, result, expected, 1e-6 if collisions in ("sum", "mean") else 0)


@pytest.mark.parametrize("bands", ["bands for many blocks"], indirect=True)
@pytest.mark.parametrize(("old", "new"), [bug[1:] for bug in MAXPOOL_BUGS], ids=[bug[0] for bug in MAXPOOL_BUGS])
def test_planted_bugs_of_pooling_are_caught(old, new, bands):
    with pytest.raises(CAUGHT):
        pool_on(Planted("maxpool.cu", old, new))


@pytest.mark.parametrize("bands", ["bands for many blocks"], indirect=True)
@pytest.mark.parametrize(("old", "new"), [bug[1:] for bug in UNPOOL_BUGS], ids=[bug[0] for bug in UNPOOL_BUGS])
def test_planted_bugs_of_unpooling_are_caught(old, new, bands):
    with pytest.raises(CAUGHT):
        unpool_on(Planted("unpool.cu", old, new))


def test_without_a_bug_nothing_is_caught(bands):
    pool_on(Planted("maxpool.cu", "Winner", "Winner"))
    unpool_on(Planted("unpool.cu", "Gathered", "Gathered"))
