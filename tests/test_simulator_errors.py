"""Every planted mistake in a kernel is named by the simulator: what, kernel, block, thread, line."""

import inspect

import numpy as np
import pytest
from numba import float32

from kernels.emulator import simulator as cuda
from kernels.emulator.simulator import KernelError

ORDERS = ("forward", "reverse", "shuffled")
FULL = 0xFFFFFFFF
HALF = 0.5


def f32(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def twice(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = float32(2) * x[i]


def fails(kernel, grid, block, *arguments, shared_bytes=0, order="forward"):
    """The KernelError of this launch, and the source line it names."""
    ready = cuda.jit(kernel, checked=True)
    ready.order = order
    with pytest.raises(KernelError) as caught:
        ready[grid, block, 0, shared_bytes](*arguments)
    error = caught.value
    assert error.kernel == kernel.__name__
    assert error.file == __file__
    return error, inspect.getsource(inspect.getmodule(kernel)).splitlines()[error.line - 1].strip()


def without_barrier(x, y):
    tile = cuda.shared.array(8, float32)
    t = cuda.threadIdx.x
    tile[t] = x[t]
    y[t] = tile[7 - t]


@pytest.mark.parametrize("order", ORDERS)
def test_a_missing_barrier_names_both_threads(order):
    error, line = fails(without_barrier, 1, 8, f32(8), cuda.empty(8), order=order)
    assert {"y[t] = tile[7 - t]": "reads", "tile[t] = x[t]": "writes"}[line] in error.what
    assert "data race" in error.what
    assert "shared array tile[" in error.what
    assert "syncthreads" in error.what
    assert f"thread ({7 - error.thread[0]}, 0, 0)" in error.what  # the other one


@pytest.mark.parametrize("order", ORDERS)
def test_a_second_barrier_is_missed_too(order):
    """The next step's stores overtake a slow reader: threads that read are noticed as well as those that write."""

    def overtaken(x, y):
        tile = cuda.shared.array(4, float32)
        t = cuda.threadIdx.x
        total = float32(0)
        for step in range(2):
            tile[t] = x[step * 4 + t]
            cuda.syncthreads()
            total += tile[3 - t]
        y[t] = total

    error, line = fails(overtaken, 1, 4, f32(8), cuda.empty(4), order=order)
    assert line == {"writes": "tile[t] = x[step * 4 + t]", "reads": "total += tile[3 - t]"}[error.what.split()[2]]
    assert "data race" in error.what


def test_divergent_barriers():
    def in_a_branch(y):
        if cuda.threadIdx.x < 3:
            cuda.syncthreads()
        y[cuda.threadIdx.x] = float32(1)

    error, line = fails(in_a_branch, (1, 2), 4, cuda.empty(4))
    assert (error.block, error.thread, line) == ((0, 0, 0), (0, 0, 0), "cuda.syncthreads()")
    assert "thread (3, 0, 0) has returned" in error.what

    def two_places(y):
        if cuda.threadIdx.x < 3:
            cuda.syncthreads()
        else:
            cuda.syncthreads()  # another one
        y[cuda.threadIdx.x] = float32(1)

    error, line = fails(two_places, 1, 4, cuda.empty(4))
    assert "divergent syncthreads" in error.what
    assert "thread (3, 0, 0) waits at syncthreads in line" in error.what


def test_lanes_at_different_operations():
    def different(y):
        if cuda.laneid < 5:
            y[cuda.laneid] = cuda.shfl_down_sync(FULL, cuda.laneid, 1)
        else:
            y[cuda.laneid] = cuda.shfl_xor_sync(FULL, cuda.laneid, 1)

    error, line = fails(different, 1, 32, cuda.empty(32))
    assert "shfl_down_sync" in line
    assert "thread (5, 0, 0) waits at shfl_xor_sync" in error.what

    def half_of_them(y):
        if cuda.laneid < 16:
            y[cuda.laneid] = cuda.shfl_down_sync(0xFFFF, cuda.laneid, 1)
        else:
            y[cuda.laneid] = cuda.shfl_xor_sync(0xFFFF0000, cuda.laneid, 1)

    error, _ = fails(half_of_them, 1, 32, cuda.empty(32))
    assert "lane 15 reads the value of lane 16, which does not take part" in error.what

    def not_my_mask(y):
        cuda.syncwarp(2)

    error, _ = fails(not_my_mask, 1, 32, cuda.empty(32))
    assert "lane 0 is not in its own mask" in error.what


def test_lanes_that_have_returned_are_not_waited_for():
    """As on a GPU since Volta; their values are undefined there."""

    def count(y):
        if cuda.laneid >= 20:
            return
        y[cuda.laneid] = cuda.popc(cuda.ballot_sync(FULL, 1))

    y = np.zeros(20, np.int32)
    cuda.jit(count, checked=True)[1, 32](y)
    assert (y == 20).all()

    def shifted(y):
        if cuda.laneid >= 20:
            return
        y[cuda.laneid] = cuda.shfl_down_sync(FULL, cuda.laneid, 1)

    error, _ = fails(shifted, 1, 32, cuda.empty(20))
    assert "lane 19 reads the value of lane 20, which does not take part" in error.what


def test_index_out_of_bounds():
    def beyond(x, y):
        i = cuda.grid(1)
        y[i] = x[i]

    error, line = fails(beyond, 2, 4, f32(7), cuda.empty(8))
    assert (error.block, error.thread, line) == ((1, 0, 0), (3, 0, 0), "y[i] = x[i]")
    assert "index 7 is outside global array x of shape (7,)" in error.what
    assert str(error).startswith("beyond, block (1, 0, 0), thread (3, 0, 0)")
    error, _ = fails(beyond, 2, 4, f32(8), cuda.empty(7))
    assert "index 7 is outside global array y" in error.what

    def wraps(x, y):
        y[0] = x[cuda.threadIdx.x - 1]

    error, _ = fails(wraps, 1, 1, f32(7), cuda.empty(8))
    assert "index -1 is outside" in error.what
    assert "wraps around" in error.what

    def column(x, y):
        y[0] = x[1, cuda.threadIdx.x + 3]

    error, _ = fails(column, 1, 1, f32(2, 3), cuda.empty(8))
    assert "index (1, 3) is outside global array x of shape (2, 3)" in error.what

    def in_shared(y):
        tile = cuda.shared.array((2, 3), float32)
        tile[cuda.threadIdx.x, 0] = float32(1)

    assert "index (2, 0) is outside shared array tile" in fails(in_shared, 1, 3, f32(1))[0].what

    def in_local(y):
        sums = cuda.local.array(3, float32)
        for i in range(4):
            sums[i] = float32(0)

    assert "index 3 is outside local array sums" in fails(in_local, 1, 1, f32(1))[0].what

    def by_a_fraction(y):
        y[cuda.threadIdx.x / 2] = float32(0)

    assert "an index is a whole number" in fails(by_a_fraction, 1, 1, f32(1))[0].what


def test_memory_that_nothing_has_written():
    def of_shared(y):
        tile = cuda.shared.array(4, float32)
        tile[cuda.threadIdx.x + 1] = float32(1)
        cuda.syncthreads()
        y[cuda.threadIdx.x] = tile[cuda.threadIdx.x]

    error, line = fails(of_shared, 1, 3, cuda.empty(3))
    assert (error.thread, line) == ((0, 0, 0), "y[cuda.threadIdx.x] = tile[cuda.threadIdx.x]")
    assert "reads shared array tile[0], which nothing has written" in error.what

    def of_local(y):
        sums = cuda.local.array((2, 2), float32)
        sums[0, 0] = float32(1)
        sums[0, 1] += float32(1)

    assert "reads local array sums[0, 1], which nothing has written" in fails(of_local, 1, 1, f32(1))[0].what

    def nobody_writes_before_the_barrier(y):
        tile = cuda.shared.array(2, float32)
        value = tile[cuda.threadIdx.x]
        cuda.syncthreads()
        y[0] = value  # a race, but of later

    error, line = fails(nobody_writes_before_the_barrier, 1, 2, f32(1))
    assert (error.thread, line) == ((0, 0, 0), "value = tile[cuda.threadIdx.x]")
    x = cuda.empty((4, 2))
    x[:3] = 1  # the host may write too
    flat = x.reshape(-1)
    error, _ = fails(twice, 1, 8, flat, cuda.empty(8))
    assert error.thread == (6, 0, 0)
    assert "reads global array x[6], which nothing has written" in error.what

    def fill(y):
        y[cuda.grid(1)] = float32(1)

    cuda.jit(fill, checked=True)[1, 8](flat)
    y = cuda.empty(8)
    cuda.jit(twice, checked=True)[1, 8](flat, y)
    assert y.tolist() == [2] * 8


def test_shared_memory_of_another_block_counts_as_unwritten():
    def first_block_only(y):
        tile = cuda.shared.array(1, float32)
        if cuda.blockIdx.x == 0:
            tile[0] = float32(1)
        y[cuda.blockIdx.x] = tile[0]

    assert fails(first_block_only, 2, 1, cuda.empty(2))[0].block == (1, 0, 0)


def test_races_in_global_memory():
    def scatter(x, y):
        i = cuda.grid(1)
        y[i // 2] += x[i]

    error, line = fails(scatter, 4, 1, f32(4), np.zeros(2, np.float32))
    assert (error.block, line) == ((1, 0, 0), "y[i // 2] += x[i]")
    assert "which thread (0, 0, 0) of block (0, 0, 0) wrote" in error.what
    assert "cuda.atomic" in error.what

    def neighbour(x):
        i = cuda.grid(1)
        x[i] = x[i + 1]

    for order in ORDERS:
        assert "data race" in fails(neighbour, 1, 4, f32(5), order=order)[0].what

    def read_by_two(x):
        value = x[0]
        if cuda.threadIdx.x == 1:
            x[0] = value

    error, line = fails(read_by_two, 1, 3, f32(1))
    assert (error.thread, line) == ((1, 0, 0), "x[0] = value")
    assert "which thread (0, 0, 0) read" in error.what

    def barriers_do_not_order_blocks(x, y):
        if cuda.blockIdx.x == 0:
            cuda.syncthreads()
            y[0] = x[0]
        else:
            x[0] = y[0]

    error, _ = fails(barriers_do_not_order_blocks, 2, 1, f32(1), f32(1))
    assert error.block == (1, 0, 0)
    assert "of block (0, 0, 0)" in error.what

    def scatter_atomically(x, y):
        i = cuda.grid(1)
        cuda.atomic.add(y, i // 2, x[i])

    y = np.zeros(2, np.float32)
    cuda.jit(scatter_atomically, checked=True)[2, 2](np.arange(4, dtype=np.float32), y)
    assert y.tolist() == [1, 5]

    def half_atomic(x, y):
        if cuda.threadIdx.x == 0:
            y[0] = x[0]
        else:
            cuda.atomic.add(y, 0, x[0])

    assert "data race" in fails(half_atomic, 1, 2, f32(1), np.zeros(1, np.float32))[0].what


def test_lanes_of_a_warp_need_no_more_than_syncwarp():
    def passed_on(x, y):
        tile = cuda.shared.array(64, float32)
        t = cuda.threadIdx.x
        tile[t] = x[t]
        cuda.syncwarp()
        y[t] = tile[t ^ 1]

    x, y = f32(64), cuda.empty(64)
    cuda.jit(passed_on, checked=True)[1, 64](x, y)
    assert np.array_equal(y, x.reshape(-1, 2)[:, ::-1].ravel())

    def to_another_warp(x, y):
        tile = cuda.shared.array(64, float32)
        t = cuda.threadIdx.x
        tile[t] = x[t]
        cuda.syncwarp()
        y[t] = tile[t ^ 32]

    assert "data race" in fails(to_another_warp, 1, 64, x, cuda.empty(64))[0].what


def test_double_precision_creeping_in():
    def literal(x, y):
        i = cuda.grid(1)
        y[i] = 0.5 * x[i]

    error, line = fails(literal, 1, 4, f32(4), cuda.empty(4))
    assert line == "y[i] = 0.5 * x[i]"
    assert "the number 0.5 is a float64" in error.what

    def of_the_file(x, y):
        y[0] = HALF * x[0]

    assert "the global HALF is a float64" in fails(of_the_file, 1, 1, f32(4), cuda.empty(4))[0].what

    def divided(x, y):
        y[0] = cuda.blockDim.x / 3

    assert "stores a float64 into float32 memory" in fails(divided, 1, 1, f32(4), cuda.empty(4))[0].what

    def argument(y, factor):
        y[0] = factor * float32(3)

    assert "stores a float64" in fails(argument, 1, 1, cuda.empty(1), 0.5)[0].what
    y = cuda.empty(4)
    cuda.jit(argument, checked=True)[1, 1](y, np.float32(0.5))
    cuda.jit(literal, checked=True, double=True)[1, 4](np.ones(4, np.float32), y)
    assert y.tolist() == [0.5] * 4
    wide = cuda.empty(4, np.float64)
    cuda.jit(literal, checked=True)[1, 4](np.ones(4), wide)
    assert wide.tolist() == [0.5] * 4


def test_other_mistakes_of_a_kernel_are_its_own():
    def divides(y):
        y[0] = 1 // cuda.threadIdx.x

    error, line = fails(divides, 1, 1, cuda.empty(1))
    assert line == "y[0] = 1 // cuda.threadIdx.x"
    assert "ZeroDivisionError" in error.what
    x = f32(4)
    x.flags.writeable = False
    assert "read-only" in fails(twice, 1, 4, f32(4), x)[0].what

    def greedy(y):
        tile = cuda.shared.array((128, 128), float32)
        tile[0, 0] = float32(1)

    assert "take 65536 bytes" in fails(greedy, 1, 1, f32(1))[0].what


@pytest.mark.parametrize(("grid", "block"), [(0, 1), (1, 1025), ((1, 65536), 1), (1, (4, 4, 128)), (1, (1, 1, 1, 1))])
def test_launches_that_no_gpu_takes(grid, block):
    with pytest.raises(ValueError, match=r"grid|block"):
        cuda.jit(twice)[grid, block](f32(1), f32(1))


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (lambda k: k(f32(4), f32(4)), r"say how many threads: twice\[grid, block\]"),
        (lambda k: k[4](f32(4), f32(4)), r"twice\[4\]: give twice\[grid, block\]"),
        (lambda k: k[1, 4](f32(4)), r"twice\(x, y\): missing a required argument: 'y'; number of arguments: 1"),
        (lambda k: k[1, 4](f32(4), f32(4), 3), r"twice\(x, y\): too many positional arguments; number of arguments: 3"),
        (lambda k: k[7 / 4, 4](f32(4), f32(4)), r"grid=1.75: give one to three whole numbers"),
        (lambda k: k[1, (1, 2, 3, 4)](f32(4), f32(4)), r"block=\(1, 2, 3, 4\): give one to three whole numbers"),
    ],
)
def test_a_launch_that_cannot_be_meant_is_refused(launch, message):
    with pytest.raises((TypeError, ValueError), match=message):
        launch(cuda.jit(twice, checked=True))


def test_an_order_that_is_none():
    kernel = cuda.jit(twice, checked=True)
    kernel.order = "random"
    with pytest.raises(ValueError, match="twice: order='random': allowed are forward, reverse, shuffled"):
        kernel[1, 4](f32(4), f32(4))


def test_a_mode_that_is_none(monkeypatch):
    monkeypatch.setenv("MINIZF_EMULATOR", "quick")
    with pytest.raises(ValueError, match="MINIZF_EMULATOR='quick': allowed are checked, fast"):
        cuda.jit(twice)


def test_a_word_of_cuda_that_is_none():
    def misspelt(x):
        cuda.sync_threads()
        x[0] = float32(1)

    error, line = fails(misspelt, 1, 1, f32(1))
    assert "the simulator has no cuda.sync_threads" in error.what
    assert line == "cuda.sync_threads()"
