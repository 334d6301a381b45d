"""The Numba CUDA kernels: every tile size, every thread order, planted bugs, what a GPU would be asked.

The checks of the contract run in `test_kernels_agree`.
"""

import functools
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from comparing import close, exactly, normal, same
from kernel_checks import (
    CONVS,
    STEPS,
    Conv,
    Pool,
    check_conv2d,
    check_conv2d_weight_grad,
    check_maxpool2d,
    check_unpool2d,
    conv_arrays,
)

import kernels
from kernels import backends, numpy_blas, reference
from kernels.emulator import KernelError, simulator
from kernels.numba_cuda import convolution, emulated, operations, tiles, unpooling, weight_grad
from kernels.numba_cuda.device import Device, Emulated
from kernels.numba_cuda.operations import FUNCTIONS, Operations
from kernels.numba_cuda.tiles import GPU_TILES, SIMULATOR_TILES, Tile
from minizf.deconvnet import project
from minizf.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minizf.net import Net

NAME = "numba-cuda-emulated"
FLOAT32 = np.dtype(np.float32)


class Simulated(Emulated):
    """With tiles, mode and thread order of the test's choice. `counts`: of the last launch of each kernel."""

    def __init__(self, tiles=SIMULATOR_TILES, checked=True, order="forward"):
        super().__init__()
        self.tiles, self.checked, self.order = tiles, checked, order

    def made_ready(self, kernel, threads):
        ready = simulator.jit(kernel, checked=self.checked)
        ready.order = self.order
        return ready


def convolutions(case, seed):
    """Every operation that multiplies tiles: name, arguments, how many products a sum has."""
    x, w, b, dy = conv_arrays(case, seed, FLOAT32)
    stride, pad = case.stride, case.pad
    yield "conv2d", (x, w, b, stride, pad), w[0].size
    yield "conv2d_transpose", (dy, w, stride, pad, x.shape[2:]), w[:, 0].size
    yield "conv2d_weight_grad", (x, dy, stride, pad, w.shape[2:]), dy[:, 0].size
    rows, features = x.reshape(len(x), -1), w.reshape(len(w), -1)
    yield "linear", (features, np.repeat(features[:3], 2, 0), None), features.shape[1]
    yield "linear_input_grad", (dy[:, :, 0, 0].copy(), features), len(w)
    yield "linear_weight_grad", (rows, dy[:, :, 0, 0].copy()), len(x)


@pytest.mark.parametrize("tile", GPU_TILES, ids=lambda tile: f"{tile.rows}x{tile.columns}")
def test_tiles_of_a_gpu(tile):
    """The tiles that a GPU uses, run here: more filters than one tile of them has, unless that takes Python too long."""
    chosen = Operations(Simulated((tile,), checked=tile.rows <= 32))
    case = Conv((2, 3, 9, 8), 37 if tile.rows <= 32 else 5, (3, 2), (1, 1), (1, 0))
    for operation, arguments, terms in convolutions(case, 5):
        close(operation, getattr(chosen, operation)(*arguments), *exactly(operation, terms, *arguments))


@pytest.mark.parametrize("order", ["reverse", "shuffled"])
def test_order_of_threads_and_blocks_changes_no_bit(order):
    forward, other = Operations(Simulated()), Operations(Simulated(order=order))
    rng = np.random.default_rng(1)
    logits, labels = normal(rng, (3, 37), FLOAT32), np.array([0, 36, 5], np.int32)
    calls = [(operation, arguments) for operation, arguments, _ in convolutions(CONVS[1], 2)]
    calls += [("softmax_cross_entropy", (logits, labels)), ("bias_grad", (normal(rng, (2, 3, 5, 7), FLOAT32),))]
    for operation, arguments in calls:
        results = [getattr(where, operation)(*arguments) for where in (forward, other)]
        for one, two in zip(*[result if isinstance(result, tuple) else (result,) for result in results], strict=True):
            same(f"{operation}, {order}", two, one)


def test_fast_mode_gives_the_same_bits():
    checked, fast = Operations(Simulated()), Operations(Simulated(checked=False))
    for operation, arguments, _ in convolutions(CONVS[3], 3):
        same(operation, getattr(fast, operation)(*arguments), getattr(checked, operation)(*arguments))


def test_larger_convolutions():
    """Several tiles in each direction: the cases that `test_kernels_agree` leaves to the compiled implementations."""
    fast = Operations(Simulated(checked=False))
    for operation, arguments, terms in convolutions(CONVS[7], 4):
        close(operation, getattr(fast, operation)(*arguments), *exactly(operation, terms, *arguments))
    case = STEPS[5]
    _, w, _, maps = conv_arrays(case.conv, 6, FLOAT32)
    y, switches = reference.maxpool2d(maps, *case[1:])
    arguments = y, switches, *case[1:], w, case.conv.stride, case.conv.pad, case.conv.x[2:], "max"
    expected = numpy_blas.deconv_step(*arguments)
    close("deconv_step", fast.deconv_step(*arguments), expected, 1e-4 * abs(expected).max())


def test_sums_cut_into_parts():
    """A depth that is cut, the last part shorter, equals the whole; and the parts are launched."""
    rng = np.random.default_rng(8)
    x, dy = normal(rng, (3, 1, 11, 7), FLOAT32), normal(rng, (3, 2, 11, 7), FLOAT32)
    device = Simulated()
    grids = []
    launch = device.launch
    device.launch = lambda kernel, grid, *rest: (grids.append(grid), launch(kernel, grid, *rest))
    arguments = x, dy, (1, 1), (0, 0), (1, 1)
    dw = Operations(device).conv2d_weight_grad(*arguments)
    close("conv2d_weight_grad", dw, *exactly("conv2d_weight_grad", dy[:, 0].size, *arguments))
    assert grids == [(1, 1, 6), 1]  # 29 steps of 8 pixels in parts of 5, then the sum
    arguments = normal(rng, (2, 200), FLOAT32), normal(rng, (3, 200), FLOAT32), normal(rng, 3, FLOAT32)
    close("linear", Operations(device).linear(*arguments), *exactly("linear", 200, *arguments))
    assert grids[2:] == [(1, 1, 3), 1]


def test_tile_choice():
    assert tiles.choose(GPU_TILES, 384, 128 * 13 * 13) == GPU_TILES[0]
    assert tiles.choose(GPU_TILES, 3, 128 * 224 * 224) == Tile(8, 128, 8, 1)  # the last step to three colours
    for tile in (*GPU_TILES, *SIMULATOR_TILES):
        assert tile.threads % tile.columns == 0
        assert tile.threads % tiles.DEPTH == 0
        assert tile.threads <= 256


def test_traffic_of_a_tile():
    """Each number of a tile is read from global memory once by a block, and serves all its products from shared memory."""
    device = Simulated()
    x, w = np.ones((1, 16, 1, 16), np.float32), np.ones((8, 16, 1, 1), np.float32)
    Operations(device).conv2d(x, w, None, (1, 1), (0, 0))
    ((_, kernel),) = device._kernels.items()
    counts = kernel.counts
    assert counts.global_writes == 8 * 16
    taps = 4 * 16 * 16  # four numbers of a tap for each of 16 x 16 loads, one for each of 16 x 8
    assert counts.global_reads <= x.size + w.size + taps + 16 * 6
    assert (counts.shared_writes, counts.shared_reads) == (x.size + w.size, 16 * 16 * (4 + 2))


BUGS = {
    "no barrier after loading": (
        convolution,
        "            cuda.syncthreads()\n            multiply_step",
        "            multiply_step",
    ),
    "no barrier before the next load": (convolution, "column)\n            cuda.syncthreads()\n", "column)\n"),
    "row and column exchanged": (convolution, "left[d, f] = value", "left[f, d] = value"),
    "no bound on the right": (convolution, " and j < width:", ":"),
    "no bound below 0": (convolution, "i >= 0 and i < height", "i < height"),
    "last filters written though there are none": (convolution, "places[j] >= 0 and f < filters", "places[j] >= 0"),
    "a sum not cleared": (convolution, "sums[i, j] = float32(0)", "pass"),
    "a barrier for some": (
        convolution,
        "                if f < ROWS:\n",
        "                if f < 3:\n                    cuda.syncthreads()\n",
    ),
    "filling taps count": (convolution, " and weight >= 0:", ":"),
    "barrier lost in the filter gradient": (
        weight_grad,
        "            cuda.syncthreads()\n            multiply_step",
        "            multiply_step",
    ),
    "parts not added": (weight_grad, "if count != 1:", "if count == 0:"),
    "the sum in double precision": (weight_grad, "value = float32(0)", "value = 0.0"),
    "the last window forgotten": (unpooling, "smaller(height, top // stride_h + 1)", "smaller(height, top // stride_h)"),
    "first instead of last": (unpooling, "rule == LAST or named == 0", "named == 0"),
    "NaN loses": (unpooling, "(value != value and result == result)", "False"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_caught(bug, monkeypatch):
    module, right, wrong = BUGS[bug]
    text = Path(module.__file__).read_text()
    assert right in text
    broken = ModuleType(module.__name__)
    broken.__file__ = module.__file__
    exec(compile(text.replace(right, wrong), f"{module.__file__}, broken", "exec"), vars(broken))
    for name, function in FUNCTIONS.items():
        plain = function.func if isinstance(function, functools.partial) else function
        if plain.__module__ == module.__name__:
            made = getattr(broken, plain.__name__)
            monkeypatch.setitem(FUNCTIONS, name, functools.partial(made, **getattr(function, "keywords", {})))
    monkeypatch.setattr(emulated, "operations", Operations(Simulated()))
    monkeypatch.delitem(backends._loaded, NAME, raising=False)
    check, case = {
        convolution: (check_conv2d, Conv((2, 3, 5, 9), 5, (3, 3), (1, 1), (1, 1))),
        weight_grad: (check_conv2d_weight_grad, Conv((3, 2, 7, 8), 3, (2, 3), (1, 1), (1, 0))),
        unpooling: (check_unpool2d, Pool((1, 3, 9, 7), (3, 3), (2, 2), (1, 1))),
    }[module]
    with kernels.use(NAME), pytest.raises((AssertionError, KernelError)):
        check(case, 0, FLOAT32)
    monkeypatch.undo()
    backends._loaded.pop(NAME, None)
    with kernels.use(NAME):
        check(case, 0, FLOAT32)


def test_unavailable_in_words(monkeypatch):
    """Without CuPy or greenlet the implementation says what to install."""
    for name, missing, module, words in (
        ("numba-cuda", "cupy", "kernels.numba_cuda.on_gpu", "pip install numba-cuda cupy"),
        (NAME, "greenlet", "kernels.numba_cuda.emulated", "pip install greenlet"),
    ):
        monkeypatch.setitem(sys.modules, missing, None)
        monkeypatch.delitem(backends._loaded, name, raising=False)
        for loaded in [loaded for loaded in sys.modules if loaded.startswith((module, "kernels.emulator.simulator"))]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.delattr("kernels.emulator.simulator", raising=False)
        with pytest.raises(kernels.BackendUnavailable, match=words):
            kernels.use(name)
        monkeypatch.undo()


class FakeCupy(ModuleType):
    """CuPy's names on NumPy's arrays, and a GPU that is said to be there."""

    def __init__(self, devices=1, stream=0):
        super().__init__("cupy")
        self.__version__ = "14.2.0"
        runtime = SimpleNamespace(
            CUDARuntimeError=RuntimeError,
            getDeviceCount=lambda: devices,
            runtimeGetVersion=lambda: 13000,
            driverGetVersion=lambda: 13000,
            getDevice=lambda: 0,
            memGetInfo=lambda: (2**30, 2**31),
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
            memory=SimpleNamespace(OutOfMemoryError=MemoryError),
            get_current_stream=lambda: SimpleNamespace(ptr=stream),
        )

    def __getattr__(self, name):
        return getattr(np, name)


class FakeNumbaCuda:
    """numba.cuda as the GPU's host code uses it; kernels go to the simulator."""

    simulated_as_cuda = True

    def __init__(self):
        self.options, self.streams, self.synchronised = [], [], []

    def is_available(self):
        return True

    def as_cuda_array(self, array, sync=True):
        self.synchronised.append(sync)
        return array

    def external_stream(self, pointer):
        return f"stream {pointer}"

    def jit(self, function=None, device=False, **options):
        if device:
            return simulator.jit(device=True)
        self.options.append(options)
        ready = simulator.jit(function)
        return SimpleNamespace(launch=ready, __getitem__=None) if ready is None else Launcher(ready, self.streams)


class Launcher:
    def __init__(self, ready, streams):
        self.ready, self.streams = ready, streams

    def __getitem__(self, configuration):
        grid, block, stream = configuration
        self.streams.append(stream)
        return self.ready[grid, block]


def test_host_code_of_a_gpu(monkeypatch):
    """What the GPU's host code asks of CuPy and numba.cuda, both faked; kernels run in the simulator."""
    from kernels.numba_cuda import loader
    from kernels.numba_cuda.device import Gpu

    cupy, cuda = FakeCupy(stream=7), FakeNumbaCuda()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(loader, "load", lambda: cuda)
    on_gpu = Operations(Gpu())
    x, w, b, _ = conv_arrays(Conv((1, 2, 4, 5), 3, (2, 2), (1, 1), (0, 0)), 0, FLOAT32)
    arguments = x, w, b, (1, 1), (0, 0)
    close("conv2d", on_gpu.conv2d(*arguments), *exactly("conv2d", 8, *arguments))
    same("relu", on_gpu.relu(x), reference.relu(x))
    assert cuda.options == [{"max_registers": 168}, {"max_registers": 128}]  # a tile of 128 threads, a block of 256
    assert set(cuda.streams) == {"stream 7"}
    assert set(cuda.synchronised) == {False}

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(on_gpu.device, "arrays", SimpleNamespace(empty=full, cuda=cupy.cuda))
    with pytest.raises(MemoryError, match=r"needs 4\.0 GiB of GPU memory; 1\.0 GiB of 2\.0 GiB are free; use a batch of 16"):
        on_gpu.device.empty((64, 16, 1024, 1024))
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(devices=0))
    with pytest.raises(kernels.BackendUnavailable, match=r"shows no GPU; .* at CUDA_VISIBLE_DEVICES$"):
        Gpu()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    with pytest.raises(ImportError, match=r"numba\.cuda of Numba .* finds no usable GPU"):
        Gpu()


def test_tables_are_made_once_and_forgotten_in_turn(monkeypatch):
    device = Device()
    device.arrays = np
    made = []
    monkeypatch.setattr("kernels.numba_cuda.device.MOST_TABLES", 2)
    for key in "aabcbca":
        device.table((key,), lambda key=key: made.append(key) or np.zeros(1))
    assert made == ["a", "b", "c", "a"]


def test_kernels_are_the_contract():
    assert set(operations.FUNCTIONS) == set(backends.OPERATIONS)
    with pytest.raises(AttributeError, match="no operation 'conv3d'"):
        _ = Operations(Emulated()).conv3d


@pytest.mark.nvvm
@pytest.mark.parametrize("tile", GPU_TILES, ids=lambda tile: f"{tile.rows}x{tile.columns}")
def test_compiled_for_sm_90_without_spills(tile):
    """No spill, no local array outside registers, no double precision, and as few registers as two or three blocks leave."""
    from kernels.numba_cuda.compiling import compiled
    from kernels.numba_cuda.device import REGISTERS

    products = 0
    for one in compiled(tile, products_only=tile != GPU_TILES[0]):
        what = f"{one.name} of {one.threads} threads"
        products += one.name.endswith("_tile")
        assert not re.search(r"\.f64\s", one.ptx), what
        assert (one.spilled_bytes, one.local_bytes) == (0, 0), what
        assert one.registers <= REGISTERS[one.threads], what
        if one.name.endswith("_tile"):
            assert one.ptx.count("fma.rn.f32") >= tile.thread_rows * tile.thread_columns, what
    assert products == 6


def test_large_window_of_a_pool():
    with kernels.use(NAME):
        check_maxpool2d(Pool((1, 1, 17, 16), (16, 16), (1, 5), (0, 0)), 0, FLOAT32)


def test_a_small_net_trains_and_projects():
    """What a person without a GPU does with it; the same numbers as NumPy's up to rounding."""
    net = Net(
        [
            ("conv1", Conv2d(*weights(4, 1, 3, 3))),
            ("relu1", ReLU()),
            ("pool1", MaxPool2d(2, 2)),
            ("flatten", Flatten()),
            ("logits", Linear(*weights(3, 4 * 3 * 4))),
        ],
        input_shape=(1, 8, 10),
    )
    x = normal(np.random.default_rng(2), (2, 1, 8, 10), FLOAT32)
    results = []
    for name in (NAME, "numpy"):
        with kernels.use(name):
            y, tape = net.forward(x)
            _, dlogits = kernels.softmax_cross_entropy(y, np.array([0, 2]))
            _, grads = net.backward(dlogits, tape)
            results.append([y, *grads.values(), project(net, tape, "relu1", 1, 2)])
    for ours, numpys in zip(*results, strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=1e-4, atol=1e-5)


def weights(*shape):
    rng = np.random.default_rng(len(shape))
    return normal(rng, shape, FLOAT32), normal(rng, shape[:1], FLOAT32)
