"""Numba CUDA kernels on the CPU: right results, right counts, the language as Numba has it."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import float32, int32, uint8

from kernels.emulator import Traffic
from kernels.emulator import simulator as cuda
from kernels.emulator.simulator import KernelError

ORDERS = ("forward", "reverse", "shuffled")
FULL = 0xFFFFFFFF


def f32(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def twice(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = float32(2) * x[i]


def reversed_tiles(x, y):
    tile = cuda.shared.array(8, float32)
    t = cuda.threadIdx.x
    tile[t] = x[cuda.blockIdx.x * 8 + t]
    cuda.syncthreads()
    y[cuda.blockIdx.x * 8 + t] = tile[7 - t]


def product(a, b, c, depth):
    """One tile of 4 x 4 sums a block, as every first lesson has it."""
    left = cuda.shared.array((4, 4), float32)
    right = cuda.shared.array((4, 4), float32)
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    i, j = cuda.blockIdx.y * 4 + row, cuda.blockIdx.x * 4 + column
    total = float32(0)
    for step in range(0, depth, 4):
        left[row, column] = a[i, step + column]
        right[row, column] = b[step + row, j]
        cuda.syncthreads()
        for d in range(4):
            total += left[row, d] * right[d, column]
        cuda.syncthreads()
    c[i, j] = total


def warp_sum(x, y):
    value = x[cuda.grid(1)]
    for delta in (16, 8, 4, 2, 1):
        value += cuda.shfl_down_sync(FULL, value, delta)
    if cuda.laneid == 0:
        y[cuda.grid(1) // cuda.warpsize] = value


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("checked", [True, False])
def test_results(checked, order):
    def launched(kernel, grid, block, *arguments):
        ready = cuda.jit(kernel, checked=checked)
        ready.order = order
        ready[grid, block](*arguments)
        return arguments[1] if len(arguments) == 2 else arguments[2]

    x = f32(100)
    assert np.array_equal(launched(twice, 4, 32, x, cuda.empty(100)), 2 * x)
    assert np.array_equal(
        launched(reversed_tiles, (3,), (8,), x[:24].copy(), cuda.empty(24)), x[:24].reshape(3, 8)[:, ::-1].ravel()
    )
    a, b = f32(8, 12), f32(12, 4)
    np.testing.assert_allclose(launched(product, (1, 2), (4, 4), a, b, cuda.empty((8, 4)), 12), a @ b, rtol=1e-5, atol=1e-6)
    whole = np.arange(64, dtype=np.float32)
    assert launched(warp_sum, 1, 64, whole, cuda.empty(2)).tolist() == [sum(range(32)), sum(range(32, 64))]


def test_counts_are_those_worked_out_by_hand():
    a, b, c = f32(8, 12), f32(12, 4), cuda.empty((8, 4))
    kernel = cuda.jit(product, checked=True)
    kernel[(1, 2), (4, 4)](a, b, c, 12)
    counts = kernel.counts
    assert isinstance(counts, Traffic)
    threads, steps = 32, 3
    assert (counts.global_reads, counts.global_writes) == (threads * steps * 2, threads)
    assert (counts.shared_reads, counts.shared_writes) == (threads * steps * 8, threads * steps * 2)
    assert (counts.global_read_bytes, counts.shared_read_bytes) == (4 * counts.global_reads, 4 * counts.shared_reads)
    assert counts.per_thread.shape == (2, 16)
    assert (counts.per_thread["global_reads"] == 6).all()
    kernel = cuda.jit(twice, checked=True)
    kernel[1, 8](f32(5), cuda.empty(5))
    assert kernel.counts.per_thread["global_writes"].tolist() == [[1] * 5 + [0] * 3]
    kernel.checked = False
    kernel[1, 8](f32(5), cuda.empty(5))
    assert kernel.counts is None


def test_counts_of_bytes_and_atomics():
    def histogram(x, bins):
        cuda.atomic.add(bins, x[cuda.grid(1)], 1)

    x, bins = np.array([1, 0, 1, 2], np.uint8), np.zeros(3, np.int32)
    kernel = cuda.jit(histogram, checked=True)
    kernel[2, 2](x, bins)
    assert bins.tolist() == [1, 2, 1]
    counts = kernel.counts
    assert (counts.global_reads, counts.global_read_bytes, counts.global_writes, counts.atomics) == (4, 4, 0, 4)


def test_votes_and_barriers_that_count():
    def votes(y):
        t = cuda.threadIdx.x
        y[0, t] = cuda.ballot_sync(FULL, t % 2)
        y[1, t] = cuda.syncthreads_count(t < 5)
        y[2, t] = cuda.any_sync(FULL, t == 31) + 2 * cuda.all_sync(FULL, t < 32) + 4 * cuda.any_sync(FULL, t > 40)
        y[3, t] = cuda.syncthreads_or(t > 33) + 2 * cuda.syncthreads_and(t < 33)
        y[4, t] = cuda.shfl_sync(FULL, t * 10, 7) + cuda.shfl_up_sync(FULL, t, 1)

    y = cuda.empty((5, 32), np.int64)
    cuda.jit(votes, checked=True)[1, 32](y)
    assert (y[:4] == np.array([[0xAAAAAAAA], [5], [3], [2]])).all()
    assert y[4].tolist() == [70] + [70 + t for t in range(31)]


def test_arithmetic_is_that_of_float32():
    def functions(x, y):
        i = cuda.grid(1)
        y[0, i] = math.exp(x[i])
        y[1, i] = math.sqrt(x[i] * x[i] + float32(1))
        y[2, i] = math.pow(x[i] * x[i], float32(-0.75))
        y[3, i] = int32(x[i] * float32(10)) // 3
        y[4, i] = cuda.fma(x[i], x[i], -x[i] * x[i])

    x, y = f32(6), cuda.empty((5, 6))
    cuda.jit(functions, checked=True)[1, 6](x, y)
    expected = np.exp(x), np.sqrt(x * x + np.float32(1)), np.power(x * x, np.float32(-0.75)), np.trunc(x * 10) // 3
    for row, wanted in zip(y, expected, strict=False):
        assert np.array_equal(row, wanted)
    squares = x.astype(np.float64) ** 2
    assert np.array_equal(y[4], (squares - (x * x)).astype(np.float32))  # what the product's rounding lost


@pytest.mark.parametrize("checked", [True, False])
def test_infinity_and_nan_are_numbers_without_a_warning(checked):
    def overflow(x, y):
        y[cuda.threadIdx.x] = x[cuda.threadIdx.x] * float32(3e38)
        cuda.syncthreads()
        y[cuda.threadIdx.x] *= y[cuda.threadIdx.x] - y[cuda.threadIdx.x]  # what was written may be read in the same launch

    y = cuda.empty(2)
    cuda.jit(overflow, checked=checked)[1, 2](np.array([2, 0], np.float32), y)
    assert np.array_equal(y, [np.nan, 0], equal_nan=True)


def test_bytes_and_integers_wrap_where_they_are_stored():
    def stored(y, z):
        y[0] = 300
        z[0] = 2**31
        z[1] = int32(-7) // 2

    y, z = cuda.empty(1, np.uint8), cuda.empty(2, np.int32)
    cuda.jit(stored, checked=True)[1, 1](y, z)
    assert (y.tolist(), z.tolist()) == ([44], [-(2**31), -4])

    def too_large(y):
        y[0] = int32(2**31)

    with pytest.raises(KernelError, match="does not fit into int32"):
        cuda.jit(too_large, checked=True)[1, 1](y)


def test_dynamic_shared_memory_device_functions_and_closures():
    count = 3

    @cuda.jit(device=True)
    def filled(tile, value):
        tile[cuda.threadIdx.x] = value
        cuda.syncthreads()

    def dynamic(y):
        tile = cuda.shared.array(0, uint8)
        filled(tile, cuda.threadIdx.x + count)
        y[cuda.threadIdx.x] = tile[cuda.blockDim.x - 1 - cuda.threadIdx.x]

    y = cuda.empty(4, np.int32)
    kernel = cuda.jit(dynamic, checked=True)
    kernel[1, 4, 0, 4](y)
    assert y.tolist() == [6, 5, 4, 3]
    with pytest.raises(KernelError, match=r"dynamic, block .* index 3 is outside shared array tile"):
        kernel[1, 4, 0, 3](y)
    with pytest.raises(RuntimeError, match="filled is a device function"):
        filled(y, 1)
    with pytest.raises(AttributeError, match="exists only inside a kernel"):
        _ = cuda.threadIdx


def test_the_environment_chooses_the_mode(monkeypatch):
    monkeypatch.setenv("MINIZF_EMULATOR", "fast")
    assert not cuda.jit(twice).checked
    monkeypatch.setenv("MINIZF_EMULATOR", "checked")
    assert cuda.jit(twice).checked


def test_says_what_to_install_without_greenlet(monkeypatch):
    monkeypatch.setitem(sys.modules, "greenlet", None)
    for name in [name for name in sys.modules if name.startswith("kernels.emulator.simulator")]:
        monkeypatch.delitem(sys.modules, name)
    import kernels.emulator

    monkeypatch.delattr(kernels.emulator, "simulator")
    with pytest.raises(ImportError, match="needs greenlet; pip install greenlet"):
        from kernels.emulator import simulator  # noqa: F401


def test_numbas_own_simulator_runs_the_same_text():
    """The names used here are Numba's: the same kernels run under NUMBA_ENABLE_CUDASIM, which has no warp operations."""
    done = subprocess.run([sys.executable, Path(__file__).with_name("numba_simulator.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ran 17 kernels" in done.stdout
