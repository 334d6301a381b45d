"""What is special to the `numba` implementation; that it agrees with `reference` is tested over all implementations."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from kernels import numba_cpu, numpy_blas
from kernels.numba_cpu import (
    compiling,
    few_channels,
    memory,
    microkernels,
    moves,
    packing,
    pool,
    products,
    relu,
    unpool,
    unpool_stride2,
    unpool_sum,
    weight_grad,
)
from kernels.numba_cpu.machine import LANES, PLAIN, ROWS

fully_connected = importlib.import_module("kernels.numba_cpu.linear")  # the package's `linear` is the operation

ROOT = Path(__file__).parent.parent


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def every_operation(x, w, dy):
    """x (N,C,H,W), w (K,C,3,2), dy (N,K,P,Q) of a convolution with stride (2, 1) and padding (1, 0) -> results by name."""
    stride, pad = (2, 1), (1, 0)
    window = ((3, 3), (2, 2), (1, 1))
    rows, weights = x.reshape(len(x), -1), w.reshape(len(w), -1)
    flat = np.ascontiguousarray(rows[:, : weights.shape[1]])
    y, switches = numba_cpu.maxpool2d(x, *window)
    normal, scale = numba_cpu.lrn(x, 5, 1e-2, 0.75, 2.0)
    rectified, rectified_switches = numba_cpu.relu_maxpool(x, *window)
    return {
        "conv2d": numba_cpu.conv2d(x, w, w[:, 0, 0, 0].copy(), stride, pad),
        "conv2d_transpose": numba_cpu.conv2d_transpose(dy, w, stride, pad, x.shape[2:]),
        "conv2d_weight_grad": numba_cpu.conv2d_weight_grad(x, dy, stride, pad, w.shape[2:]),
        "maxpool2d": y,
        "switches": switches,
        "relu_maxpool": rectified,
        "rectified_switches": rectified_switches,
        **{rule: numba_cpu.unpool2d(y, switches, *window, x.shape[2:], rule) for rule in ("sum", "max", "mean", "last")},
        "unpool_relu": numba_cpu.unpool_relu(y, switches, *window, x.shape[2:]),
        "unpool_gathered": numba_cpu.unpool2d(y, switches, (4, 3), *window[1:], x.shape[2:]),
        "relu": numba_cpu.relu(x),
        "relu_grad": numba_cpu.relu_grad(x, normal),
        "lrn": normal,
        "scale": scale,
        "lrn_grad": numba_cpu.lrn_grad(x, x, normal, scale, 5, 1e-2, 0.75),
        "linear": numba_cpu.linear(flat, weights, None),
        "linear_input_grad": numba_cpu.linear_input_grad(dy[:, :, 0, 0].copy(), weights),
        "linear_weight_grad": numba_cpu.linear_weight_grad(flat, dy[:, :, 0, 0].copy()),
    }


# large enough for several tasks of every kernel, and for arrays that come from the shelf
INPUTS = (numbers(17, 13, 37, 23), numbers(53, 13, 3, 2, seed=1), numbers(17, 53, 19, 22, seed=2))


def same_bits(one, other):
    return {name: np.array_equal(one[name].view(np.uint8), other[name].view(np.uint8)) for name in one}


def test_two_runs_give_the_same_bits_with_any_number_of_threads():
    first = every_operation(*INPUTS)
    threads = numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            again = same_bits(first, every_operation(*INPUTS))
            assert all(again.values()), (count, again)
    finally:
        numba.set_num_threads(threads)


def test_every_number_of_a_result_is_written():
    """Results lie in used memory: with NaN left in it, a number that is not written shows."""
    first = {name: array.copy() for name, array in every_operation(*INPUTS).items()}
    for shelf in memory._shelf.values():
        for block in shelf:
            block.fill(0xFF)
    assert all(np.isfinite(array).all() for array in first.values())
    again = same_bits(first, every_operation(*INPUTS))
    assert all(again.values()), again


def test_read_only_arrays_are_taken_without_compiling_anew():
    expected = every_operation(*INPUTS)
    locked = [array.copy() for array in INPUTS]
    for array in locked:
        array.flags.writeable = False
    assert all(same_bits(expected, every_operation(*locked)).values())
    modules = (fully_connected, packing, pool, products, relu, unpool, unpool_stride2, unpool_sum, weight_grad)
    kernels = [value for module in modules for value in vars(module).values() if hasattr(value, "signatures")]
    assert sum(len(kernel.signatures) for kernel in kernels) > 0
    for kernel in kernels:
        for signature in kernel.signatures:
            arrays = [argument for argument in signature if isinstance(argument, numba.types.Array)]
            assert all(array.mutable for array in arrays), (kernel.__name__, signature)


@pytest.mark.parametrize("pixels", [1, ROWS[3] - 1, ROWS[3], ROWS[3] + 1, ROWS[3] * int(products.TILES_OF[3]) + 1])
@pytest.mark.parametrize("filters", [1, LANES - 1, LANES + 1, 2 * LANES, 3 * LANES + 1, 4 * LANES, 7 * LANES - 3])
def test_convolution_at_the_edges_of_tiles_panels_and_chunks(pixels, filters):
    x, w = numbers(pixels, 5, 3, 2), numbers(filters, 5, 3, 2, seed=1)
    b = numbers(filters, seed=2)
    y = numba_cpu.conv2d(x, w, b, (1, 1), (0, 0))
    np.testing.assert_allclose(y[:, :, 0, 0], x.reshape(pixels, -1) @ w.reshape(filters, -1).T + b, rtol=1e-4, atol=1e-4)


def test_taps_in_several_blocks():
    """More taps than one block holds, and a last block that is shorter."""
    taps = 2 * products.TAP_BLOCK + 7
    x, w = numbers(3, taps, 1, 1), numbers(5, taps, 1, 1, seed=1)
    y = numba_cpu.conv2d(x, w, None, (1, 1), (0, 0))
    np.testing.assert_allclose(y[:, :, 0, 0], x[:, :, 0, 0] @ w[:, :, 0, 0].T, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 7, 11, 13), (3, 2, 40, 31), (2, 5, 1, 150)])
@pytest.mark.parametrize("filters", [1, 3, 4])
def test_few_filters_take_the_pixel_lanes_and_agree(shape, filters):
    x, w, b = numbers(*shape), numbers(filters, shape[1], 1, 3, seed=1), numbers(filters, seed=2)
    assert few_channels.pays(filters, shape[2], shape[3], shape[3] + 2)
    y = numba_cpu.conv2d(x, w, b, (1, 1), (0, 1))
    np.testing.assert_allclose(y, numpy_blas.conv2d(x, w, b, (1, 1), (0, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("images", [fully_connected.FEW - 1, fully_connected.FEW, 3 * LANES + 1])
@pytest.mark.parametrize(("features", "outputs"), [(1, 1), (7, 4 * LANES), (fully_connected.STRETCH + 3, 5), (2 * LANES, 300)])
def test_few_and_many_images_through_a_fully_connected_layer(images, features, outputs):
    x, w, dy = numbers(images, features), numbers(outputs, features, seed=1), numbers(images, outputs, seed=2)
    b = numbers(outputs, seed=3)
    for one, other in (
        (numba_cpu.linear(x, w, b), x @ w.T + b),
        (numba_cpu.linear_input_grad(dy, w), dy @ w),
        (numba_cpu.linear_weight_grad(x, dy), dy.T @ x),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 41, 2, 1), (1, 2, 40, 67), (70, 11, 9, 33), (2, 5, 1, 1)])
@pytest.mark.parametrize(
    ("size", "stride", "pad"), [((4, 3), (2, 2), (1, 1)), ((2, 4), (1, 2), (0, 3)), ((3, 2), (3, 1), (2, 1))]
)
def test_unpooling_at_the_edges_of_vectors_and_groups(shape, size, stride, pad):
    """Whatever the switches, those that name places in the padding included."""
    shape = (*shape[:2], max(shape[2], size[0] - 2 * pad[0]), max(shape[3], size[1] - 2 * pad[1]))
    out = [(n + 2 * p - r) // s + 1 for n, r, s, p in zip(shape[2:], size, stride, pad, strict=True)]
    y = numbers(*shape[:2], *out)
    switches = np.random.default_rng(1).integers(0, size[0] * size[1], y.shape).astype(np.uint8)
    assert unpool_sum.pays(out[1], size, stride) or out[1] < LANES // 2 or stride[1] > 2
    for operation in ("unpool2d", "unpool_relu"):
        arguments = y, switches, size, stride, pad, shape[2:], "sum"
        np.testing.assert_allclose(
            getattr(numba_cpu, operation)(*arguments), getattr(numpy_blas, operation)(*arguments), rtol=1e-5, atol=1e-6
        )


def test_nan_reaches_only_the_places_whose_taps_read_it():
    x, w = numbers(2, 3, 9, 8), numbers(4, 3, 3, 3, seed=1)
    x[1, 2, 4, 4] = np.nan
    spoilt = np.zeros((2, 4, 9, 8), bool)
    spoilt[1, :, 3:6, 3:6] = True
    np.testing.assert_array_equal(np.isnan(numba_cpu.conv2d(x, w, None, (1, 1), (1, 1))), spoilt)
    # stride 4 and filters of 3: the fourth row and column are touched by nothing, so they stay 0
    dy = np.full((2, 4, 2, 2), np.nan, np.float32)
    dx = numba_cpu.conv2d_transpose(dy, w, (4, 4), (0, 0), (8, 8))
    assert (dx[:, :, 3::4] == 0).all()
    assert (dx[:, :, :, 3::4] == 0).all()
    assert np.isnan(dx[:, :, :3, :3]).all()


class TestVectorCode:
    """Each vector piece against its definition in plain loops."""

    @pytest.mark.parametrize(("rows", "vectors"), [*((rows, vectors) for vectors, rows in ROWS.items()), (3, 4), (1, 1)])
    def test_outer(self, rows, vectors):
        width, taps = vectors * LANES, 29
        a, b, start = numbers(500), numbers(taps * width + 40, seed=1), numbers(2 * rows * width, seed=2)
        a_tap = np.random.default_rng(3).integers(0, 200, taps + 4).astype(np.int32)
        b_tap = (np.random.default_rng(4).permutation(taps + 4) * LANES % (taps * width - width)).astype(np.int32)
        a_row = np.random.default_rng(5).integers(0, 200, rows + 2)
        results = []
        for make in (microkernels.make_outer, microkernels.plain_outer):
            outer, sums = make(rows, vectors), np.zeros(rows * width + 9, np.float32)

            @numba.njit
            def run(sums, outer=outer):
                outer(a, 3, a_tap, 2, a_row, 1, b, 5, b_tap, 1, taps, start, 7, width, sums, 4)

            run(sums)
            results.append(sums)
        np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)
        assert (results[0][:4] == 0).all()
        assert (results[0][4 + rows * width :] == 0).all()

    def test_turn(self):
        source, target, expected = numbers(2000), np.zeros(2000, np.float32), np.zeros(2000, np.float32)

        @numba.njit
        def run(source, target):
            moves.turn_block(source, 3, LANES + 5, target, 2, LANES + 1)

        run(source, target)
        moves.plain_turn(source, 3, LANES + 5, expected, 2, LANES + 1)
        np.testing.assert_array_equal(target, expected)

    @pytest.mark.parametrize("rectify", [False, True])
    def test_part(self, rectify):
        source = numbers(3 * LANES)
        source[[4, 9]] = np.nan, -0.0
        pairs = []
        for part in (moves.part, moves.plain_part):
            evens, odds = np.zeros(2 * LANES, np.float32), np.zeros(2 * LANES, np.float32)

            @numba.njit
            def run(evens, odds, part=part):
                part(source, 2, evens, 1, odds, 3, rectify)

            run(evens, odds)
            pairs.append(np.concatenate([evens, odds]))
        np.testing.assert_array_equal(pairs[0].view(np.uint32), pairs[1].view(np.uint32))

    @pytest.mark.parametrize("rectify", [False, True])
    def test_zip(self, rectify):
        evens, odds = numbers(2 * LANES), numbers(2 * LANES, seed=1)
        evens[[2, 5]], odds[3] = (np.nan, -0.0), np.nan
        results = []
        for zip_halves in (moves.zip_halves, moves.plain_zip):
            target = np.zeros(3 * LANES, np.float32)

            @numba.njit
            def run(target, zip_halves=zip_halves):
                zip_halves(evens, 1, odds, 2, target, 3, rectify)

            run(target)
            results.append(target)
        np.testing.assert_array_equal(results[0].view(np.uint32), results[1].view(np.uint32))

    def test_sum_named(self):
        rng = np.random.default_rng(0)
        y, switches = numbers(12 * LANES), rng.integers(0, 4, 12 * LANES).astype(np.uint8)
        y[rng.random(y.size) < 0.1] = np.nan
        offsets, places = np.array([0, 7, LANES, 2, 31], np.int32), np.array([3, 1, 0, 2, 9], np.uint8)
        for at, first, count in ((0, 0, 1), (3, 1, 3), (9, 0, 5)):
            results = []
            for sum_named in (moves.sum_named, moves.plain_sum_named):
                sums = np.zeros((moves.SUMMED + 1) * LANES, np.float32)

                @numba.njit
                def run(sums, at, first, count, sum_named=sum_named):
                    sum_named(y, switches, at, offsets, places, first, count, sums, 5)

                run(sums, at, first, count)
                results.append(sums)
            np.testing.assert_array_equal(*results)

    def test_stream_and_bytes(self):
        source, target = numbers(5 * LANES), memory.aligned((5 * LANES,))
        target.fill(0)
        letters, copied = np.arange(3 * LANES).astype(np.uint8), np.zeros(3 * LANES, np.uint8)

        @numba.njit
        def run(source, target, letters, copied):
            moves.stream(source, 3, target, LANES, 2)
            moves.move_bytes(letters, 5, copied, 2)

        run(source, target, letters, copied)
        np.testing.assert_array_equal(target[LANES : 3 * LANES], source[3 : 3 + 2 * LANES])
        np.testing.assert_array_equal(copied[2 : 2 + LANES], letters[5 : 5 + LANES])
        assert not target[:LANES].any()
        assert not target[3 * LANES :].any()
        assert not copied[:2].any()
        assert not copied[2 + LANES :].any()

    def test_best_of_window(self):
        rng = np.random.default_rng(0)
        source = rng.integers(-2, 3, 40 * LANES).astype(np.float32)  # many ties
        source[rng.random(source.size) < 0.1] = np.nan
        source[rng.random(source.size) < 0.3] = -np.inf
        source[:LANES] = -np.inf
        offsets = np.array([0, LANES, 5, 2 * LANES + 3, 9, 1], np.int32)
        winner = np.arange(4 * LANES).astype(np.uint8)
        for at, first, count in ((0, 0, 1), (3, 1, 4), (20, 0, 6), (77, 2, 3)):
            results = []
            for best in (moves.best_of_window, moves.plain_best):
                y, switches = np.zeros(2 * LANES, np.float32), np.zeros(2 * LANES, np.uint8)

                @numba.njit
                def run(y, switches, at, first, count, best=best):
                    best(source, at, offsets, first, count, winner, 2, 3, y, 1, switches, 4)

                run(y, switches, at, first, count)
                results.append((y, switches))
            np.testing.assert_array_equal(results[0][0], results[1][0])
            np.testing.assert_array_equal(results[0][1], results[1][1])


class TestMemory:
    def test_begins_a_cache_line(self):
        for count in (1, 1000, 100_001):
            array = memory.aligned((count,))
            assert array.ctypes.data % memory.LINE == 0
            assert array.shape == (count,)
            assert array.dtype == np.float32

    def test_is_used_again_only_when_the_last_view_is_gone(self):
        size = (memory.LARGE + 12_345,)
        array = memory.aligned(size)
        address, view = array.ctypes.data, array[5:9]
        del array
        other = memory.aligned(size)
        assert other.ctypes.data != address
        del view
        assert memory.aligned(size).ctypes.data == address

    def test_the_shelf_has_a_limit(self, monkeypatch):
        monkeypatch.setattr(memory, "_shelf", {})
        monkeypatch.setattr(memory, "_shelved", 0)
        monkeypatch.setattr(memory, "LIMIT", 3 * memory.LARGE)
        arrays = [memory.aligned((memory.LARGE,), np.uint8) for _ in range(5)]
        arrays.clear()
        shelved = sum(block.size for blocks in memory._shelf.values() for block in blocks)
        assert 0 < shelved == memory._shelved <= memory.LIMIT


def test_compiled_code_on_disk_is_stamped_with_the_whole_package():
    """Numba's own stamp knows one file; a change in another would leave old code in use."""
    assert products.lanes_are_filters._cache._cache_file._source_stamp == compiling.STAMP
    assert compiling.STAMP[1] == len(list(Path(compiling.__file__).parent.glob("*.py")))


def report(lanes):
    program = "import kernels.numba_cpu; print(kernels.numba_cpu.vector_code())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ({} if lanes is None else {"MINIZF_VECTOR_LANES": lanes})
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=ROOT)


def test_nothing_is_compiled_twice():
    """A bare number for an argument makes Numba compile a second version for that very number."""
    every_operation(*INPUTS)
    modules = [module for name, module in sys.modules.items() if name.startswith("kernels.numba_cpu.")]
    functions = {value for module in modules for value in vars(module).values() if hasattr(value, "signatures")}
    compiled = {function for function in functions if not function.__name__.startswith("plain_")}  # tests here compile those
    twice = {function.__name__: function.signatures for function in compiled if len(function.signatures) > 1}
    assert len(compiled) > 30
    assert not twice


def test_says_which_vector_code_is_in_use():
    assert numba_cpu.vector_code()
    assert ("plain loops" in numba_cpu.vector_code()) == PLAIN
    assert report("0").stdout.startswith("plain loops: MINIZF_VECTOR_LANES=0")
    assert "4 lanes" in report("4").stdout
    wrong = report("5")
    assert wrong.returncode != 0
    assert "MINIZF_VECTOR_LANES: '5' is none of 16, 8, 4, 0" in wrong.stderr
