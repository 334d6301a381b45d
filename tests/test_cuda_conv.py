"""The fp32 convolutions and fully connected layers in CUDA C++, executed by the emulator: all tiles, their edges, planted bugs.

`test_kernels_agree` runs the contract's checks on `cuda-emulated`, where shapes are small and tiles chosen for a GPU. Here
each tile is taken by force, on shapes that cross its edges, in three schedules of threads, and each way of computing the
deconvnet's step is taken.
"""

import re

import numpy as np
import pytest
from kernel_checks import close, normal, same

import kernels
from kernels import numpy_blas
from kernels.cuda import convolution, geometry, linear, pooling, tiles
from kernels.cuda.device import Emulated, source
from kernels.cuda.unpooling import Pooled
from kernels.emulator import KernelError

pytestmark = pytest.mark.compiler

ORDERS = ("forward", "reverse", "shuffled")
SHAPES = {
    # x, filters, window, stride, pad: pixels, filters and taps on both sides of a tile's edge, aligned and not
    "three images in two tiles, 130 filters": ((3, 5, 9, 8), 130, (3, 3), (1, 1), (1, 1)),
    "one filter more than a tile, odd planes": ((2, 6, 11, 7), 65, (3, 3), (2, 1), (1, 2)),
    "one pixel less than a tile": ((1, 9, 1, 127), 33, (1, 1), (1, 1), (0, 0)),
    "exactly one tile": ((2, 8, 8, 8), 64, (1, 1), (1, 1), (0, 0)),
    "phases without a tap": ((2, 4, 13, 10), 5, (2, 1), (3, 4), (1, 0)),
}


class InOrder(Emulated):
    """An emulated GPU whose blocks and threads run in a given order, and whose sources may be edited."""

    def __init__(self, order="forward", edits=()):
        super().__init__()
        self.order, self.edits, self.edited = order, edits, 0

    def compiled(self, text, file, options):
        for old, new in self.edits:
            self.edited += text.count(old)
            text = text.replace(old, new)
        return self.emulator.Module(text, options, name=file, order=self.order, checked=True)


@pytest.fixture(scope="module")
def devices():
    return {order: InOrder(order) for order in ORDERS}


def conv_arguments(x, filters, window, stride, pad, seed=0):
    rng = np.random.default_rng(seed)
    out = kernels.conv_output_size(x[2:], window, stride, pad)
    arrays = normal(rng, x, np.float32), normal(rng, (filters, x[1], *window), np.float32)
    return *arrays, normal(rng, filters, np.float32), normal(rng, (x[0], filters, *out), np.float32)


def expected(operation, terms, *arguments):
    """NumPy's result in float64, which other tests hold against the definition, and the bound of a sum of `terms` products."""
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arguments]
    magnitudes = [abs(a) if isinstance(a, np.ndarray) else a for a in wide]
    function = getattr(numpy_blas, operation)
    return function(*wide), (terms + 2) * np.finfo(np.float32).eps * function(*magnitudes)


def forced(monkeypatch, tile, splits):
    monkeypatch.setattr(tiles, "choose", lambda *arguments: (tile, splits))


def check_convolutions(device, shape, seed=0):
    x, w, b, dy = conv_arguments(*shape, seed=seed)
    stride, pad, size = shape[3], shape[4], shape[0][2:]
    value, bound = expected("conv2d", w[0].size + 1, x, w, b, stride, pad)
    close("conv2d", convolution.conv2d(device, x, w, b, stride, pad), value, bound)
    rectified = convolution.conv2d(device, x, w, b, stride, pad, rectify=True)
    same("conv2d_relu", rectified, np.maximum(convolution.conv2d(device, x, w, b, stride, pad), np.float32(0)))
    value, bound = expected("conv2d_transpose", w[:, 0].size, dy, w, stride, pad, size)
    close("conv2d_transpose", convolution.conv2d_transpose(device, dy, w, stride, pad, size), value, bound)


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("tile", tiles.CONVOLUTION, ids=lambda tile: tile.name)
def test_every_tile_over_its_edges(devices, monkeypatch, tile, splits):
    forced(monkeypatch, tile, splits)
    for seed, shape in enumerate(SHAPES.values()):
        check_convolutions(devices["forward"], shape, seed)


@pytest.mark.parametrize("order", ORDERS[1:])
def test_other_schedules_give_the_same_bits(devices, monkeypatch, order):
    x, w, b, dy = conv_arguments(*SHAPES["one filter more than a tile, odd planes"])
    pictures, first = normal(np.random.default_rng(1), (2, 3, 19, 37), np.float32), w[:, :3].copy()
    for tile, splits in ((tiles.CONVOLUTION[1], 1), (tiles.CONVOLUTION[2], 2)):
        forced(monkeypatch, tile, splits)
        for work in (
            lambda device: convolution.conv2d(device, x, w, b, (2, 1), (1, 2)),
            lambda device: convolution.conv2d_transpose(device, dy, w, (2, 1), (1, 2), (11, 7)),
            lambda device: convolution.conv2d(device, pictures, first, b, (2, 1), (1, 0)),
            lambda device: convolution.conv2d_transpose(device, dy, first, (2, 1), (1, 2), (11, 7)),
            lambda device: pooled_step(device, dy, w, True),
            lambda device: pooled_step(device, dy, first, True),
        ):
            same(order, work(devices[order]), work(devices["forward"]))


FEW = {
    # x, filters, window, stride, pad
    "zfnet's first layer": ((2, 3, 43, 39), 40, (7, 7), (2, 2), (1, 1)),
    "alexnet's": ((1, 3, 65, 70), 70, (11, 11), (4, 4), (2, 2)),
    "gray, one stride": ((3, 1, 17, 40), 5, (3, 5), (1, 1), (1, 4)),
    "two colours, uneven strides": ((2, 2, 21, 9), 33, (4, 3), (3, 1), (0, 5)),
    "rows that no filter reaches": ((1, 3, 20, 20), 4, (2, 2), (3, 5), (0, 1)),
}


@pytest.mark.parametrize("name", FEW)
def test_few_maps_on_one_side(devices, monkeypatch, name):
    shape = FEW[name]
    launched = recorded(monkeypatch)
    check_convolutions(devices["forward"], shape)
    assert any(kernel.startswith("first_layer_") for kernel in launched)
    assert any(kernel.startswith("to_colours_") for kernel in launched)
    assert not any(kernel.startswith("conv_tile_") for kernel in launched)


def test_filters_too_large_for_shared_memory_go_through_the_product(devices, monkeypatch):
    launched = recorded(monkeypatch)
    check_convolutions(devices["forward"], ((1, 1, 36, 34), 4, (31, 33), (1, 1), (3, 2)))
    assert any(kernel.startswith("conv_tile_") for kernel in launched)
    assert not any(kernel.startswith(("first_layer_", "to_colours_")) for kernel in launched)


def recorded(monkeypatch):
    """The names of the kernels launched from now on."""
    names = []
    launch = Emulated.launch

    def note(self, file, kernel, *arguments, **named):
        names.append(kernel)
        return launch(self, file, kernel, *arguments, **named)

    monkeypatch.setattr(Emulated, "launch", note)
    return names


POOL = (3, 2), (2, 1), (1, 1)
PAPERS = (3, 3), (2, 2), (1, 1)
MORE_POOLS = (
    *(POOL, ((2, 2), (2, 2), (0, 0)), PAPERS, ((3, 3), (2, 2), (2, 0))),
    ((3, 3), (4, 5), (1, 0)),  # leaves positions that no window covers
)


def pooled_step(device, like, w, computed, pool=POOL, collisions="sum", stride=(2, 1), pad=(1, 2), size=(11, 7)):
    """The deconvnet's step from the pooling of `like` to `size`, with the unpooled map computed or stored."""
    y, switches = numpy_blas.maxpool2d(like, *pool)
    y = normal(np.random.default_rng(8), y.shape, np.float32)
    whole = like.shape[2:]
    if computed:
        return convolution._downwards(device, Pooled(y, switches, *pool, whole, collisions), whole, w, stride, pad, size)
    return convolution.conv2d_transpose(
        device, pooling.unpool2d(device, y, switches, *pool, whole, collisions, rectify=True), w, stride, pad, size
    )


@pytest.mark.parametrize("collisions", kernels.COLLISIONS)
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_the_unpooled_map_may_be_computed_where_it_is_read(devices, channels, collisions):
    """Summing the same products in the same order, both ways give the same bits."""
    _, w, _, dy = conv_arguments((2, 6, 11, 7), 9, (3, 3), (2, 1), (1, 2))
    for pool in MORE_POOLS:
        arguments = dy, w[:, :channels].copy()
        computed = pooled_step(devices["forward"], *arguments, True, pool, collisions)
        same(collisions, computed, pooled_step(devices["forward"], *arguments, False, pool, collisions))


def test_computing_the_unpooled_map_pays_for_small_work_and_few_colours():
    def pays(y, w, whole, stride, size, pool=PAPERS):
        switches = np.broadcast_to(np.uint8(0), y)
        pooled = Pooled(np.broadcast_to(np.float32(0), y), switches, *pool, whole, "sum")
        return convolution.computing_pays(pooled, w, stride, size)

    last = (96, 3, 7, 7), (110, 110), (2, 2), (224, 224)
    assert pays((128, 96, 55, 55), *last)
    assert not pays((128, 96, 55, 55), *last, ((3, 2), (2, 2), (1, 1)))
    assert not pays((128, 256, 13, 13), (256, 96, 5, 5), (26, 26), (2, 2), (55, 55))
    assert pays((1, 20, 4, 4), (20, 10, 3, 3), (7, 7), (1, 1), (7, 7))


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("tile", tiles.LINEAR, ids=lambda tile: tile.name)
def test_linear_over_the_edges_of_every_tile(devices, monkeypatch, tile, splits):
    forced(monkeypatch, tile, splits)
    for seed, (images, features, outputs) in enumerate(((3, 129, 130), (65, 28, 127), (129, 61, 5), (32, 8, 128))):
        rng = np.random.default_rng(seed)
        x, w = normal(rng, (images, features), np.float32), normal(rng, (outputs, features), np.float32)
        b, dy = normal(rng, outputs, np.float32), normal(rng, (images, outputs), np.float32)
        for order in ORDERS[: 1 + 2 * (seed == 0)]:
            device = devices[order]
            close("linear", linear.linear(device, x, w, b), *expected("linear", features + 1, x, w, b))
            close("input", linear.linear_input_grad(device, dy, w), *expected("linear_input_grad", outputs, dy, w))
            close("weight", linear.linear_weight_grad(device, x, dy), *expected("linear_weight_grad", images, x, dy))


def test_every_weight_belongs_to_one_tap_of_one_phase():
    for maps, window, stride, pad, size in (
        (3, (5, 4), (2, 3), (2, 0), (11, 13)),
        (2, (2, 1), (3, 4), (1, 0), (9, 8)),
        (1, (3, 3), (1, 1), (4, 1), (5, 7)),
    ):
        small = kernels.conv_output_size(size, window, stride, pad)
        plan = geometry.transposed(maps, small, 6, window, stride, pad, size)
        weights = np.sort(plan.taps["weight"][plan.taps["weight"] >= 0])
        k, r, s = np.indices((maps, *window)).reshape(3, -1)
        assert np.array_equal(weights, np.sort((k * 6 * window[0] + r) * window[1] + s))
        assert int((plan.phases["rows"] * plan.phases["columns"]).sum()) == size[0] * size[1]
        assert (plan.phases["taps"] % geometry.STEP == 0).all()


def test_tiles_are_chosen_for_their_waves():
    conv5 = 128 * 13 * 13, 256, 384 * 9 // 8
    tile, splits = tiles.choose(tiles.CONVOLUTION, *conv5)
    assert tile.cost(*conv5, splits) < 0.8 * tiles.CONVOLUTION[0].cost(*conv5, 1)  # which is two waves for the work of 1.3
    one_image, fully_connected = (169, 384, 384 * 9 // 8), (4096, 128, 9216 // 8)
    assert tiles.choose(tiles.CONVOLUTION, *one_image)[1] > 4
    assert tiles.choose(tiles.LINEAR, *fully_connected)[1] > 1
    assert tiles.choose(tiles.CONVOLUTION, 128 * 26 * 26, 256, 96 * 25 // 8)[1] == 1
    assert tiles.choose(tiles.CONVOLUTION, 2000, 32, 20)[0].columns == 32


CONV = SHAPES["one filter more than a tile, odd planes"]
SMALL = tiles.CONVOLUTION[2]
BUGS = {
    # name: (what is checked, old text, new text)
    "nobody waits for the others' copies": ("conv", "        __syncthreads();              // everybody's have", "// "),
    "nobody waits for the last copy": ("conv", "cp_async_wait<STAGES - 2>()", "cp_async_wait<STAGES - 1>()"),
    "places are read before they are there": ("no steps", "    __syncthreads();  // places, where there was no step", ""),
    "a row above the input counts": ("conv", "int(unsigned(pixel.row + tap.row) <", "int((pixel.row + tap.row) < (int)"),
    "no bound for the column": ("conv", "int(unsigned(pixel.column + tap.column) < unsigned(g.width))", "1"),
    "the pixels beyond the last are written": ("conv", "if (place >= 0) y[place", "y[place"),
    "the filters beyond the last are written": ("conv", "if (filter >= g.filters) continue;", ""),
    "rows of a tile twice": ("conv", "WARPS_DOWN * 64 + (lane % 2 +", "WARPS_DOWN * 64 + (lane / 2 % 2 +"),
    "one tap too few": ("conv", "k < STEP; ++k) {\n            float high", "k < STEP - 1; ++k) {\n            float high"),
    "stride of the columns for the rows": ("conv", "pixel.row = i * g.step_h", "pixel.row = i * g.step_w"),
    "bias of the neighbour": ("conv", "bias[filter]", "bias[first_filter]"),
    "phases share one place": ("conv", "+ phase.place +", "+"),
    "the last part is forgotten": ("split", "split < splits; ++split) sum", "split < splits - 1; ++split) sum"),
    "parts overlap": ("split", "min(begin + each, steps)", "min(begin + each + 1, steps)"),
    "every part adds the bias": ("split", "bias && g.splits == 1", "bias"),
    "filters are packed without their last": ("conv", "filter < filters ?", "filter < filters - 1 ?"),
    "fill-up taps read a weight": ("conv", "weight >= 0 && filter", "filter"),
    "linear: no bound for the sum": ("linear", "side < count && sum + i < end", "side < count"),
    "linear: no bound for the side": ("linear", "side + i * LINES < count && sum < end", "sum < end"),
    "linear: sides swapped": ("linear", "(size_t)column * p.rows + row", "(size_t)row * p.columns + column"),
    "first layer: patch read before it is there": ("few", "cp_async_wait<0>();\n    __syncthreads();", "cp_async_wait<0>();"),
    "first layer: no bound for the row": ("few", "int(unsigned(row) < unsigned(p.height)) &", ""),
    "first layer: runs of three": ("few", "run < here; run += 4", "run < here; run += 3"),
    "first layer: the row beyond the last is written": ("few", "if (row >= p.out_height) break;", ""),
    "a run forgets its last tap": ("few", "add(1), add(2), add(3);", "add(1), add(2);"),
    "colours: the next maps overwrite these": ("colours", "__syncthreads();\n    }\n\n    const int j", "}\n\n    const int j"),
    "colours: copies not waited for": ("colours", "cp_async_wait<1>();", ""),
    "colours: phases share one place": ("colours", "own[f].place + ", ""),
    "colours: weights of the first map for all": ("colours", "weights += p.weights_each, ", ""),
    "step: rows and columns of the cover swapped": ("step", "covers, covers + g.height", "covers + g.height, covers"),
    "step: not rectified": ("step", "return gathered.result(true);", "return gathered.result(false);"),
    "step: the last window is not asked": ("step", "i <= down.last", "i < down.last"),
    "cells: a window's last row forgotten": ("cells", "r < 3 && s < 3 &&", "r < 2 && s < 3 &&"),
    "cells: the padding of the pool forgotten": ("cells", "(top + u) * 2 - pool.pad_h", "(top + u) * 2"),
    "cells: no bound for the window": ("cells", "int(unsigned(i) < unsigned(pool.height)) & int(", "int("),
    "cells: beside the input is not zero": ("cells", "in ? gathered.result(true) : 0.f;\n", "1.f;\n"),
    "step: the padding of the pool forgotten": ("step", "p + pool.pad_h - i", "p - i"),
}  # fmt: skip


def check_linear(device):
    rng = np.random.default_rng(4)
    x, w = normal(rng, (35, 13), np.float32), normal(rng, (67, 13), np.float32)
    b, dy = normal(rng, 67, np.float32), normal(rng, (35, 67), np.float32)
    close("linear", linear.linear(device, x, w, b), *expected("linear", 14, x, w, b))
    close("input", linear.linear_input_grad(device, dy, w), *expected("linear_input_grad", 67, dy, w))
    close("weight", linear.linear_weight_grad(device, x, dy), *expected("linear_weight_grad", 35, x, dy))


def check_step(device):
    _, w, _, dy = conv_arguments((2, 6, 11, 7), 9, (3, 3), (2, 1), (1, 2))
    same("step", pooled_step(device, dy, w, True), pooled_step(InOrder(), dy, w, False))


def check_cells(device):
    _, w, _, dy = conv_arguments((2, 3, 11, 7), 9, (3, 3), (2, 1), (1, 2))
    same("step", pooled_step(device, dy, w, True, PAPERS), pooled_step(InOrder(), dy, w, False, PAPERS))


def check_no_steps(device):
    """Fewer than two taps for three parts: some parts sum nothing."""
    check_convolutions(device, ((2, 4, 13, 10), 5, (2, 1), (3, 4), (1, 0)))


CHECKS = {
    "conv": (lambda device: check_convolutions(device, CONV), SMALL, 1),
    "split": (lambda device: check_convolutions(device, CONV), SMALL, 3),
    "no steps": (check_no_steps, SMALL, 3),
    "linear": (check_linear, tiles.LINEAR[2], 1),
    "few": (lambda device: check_convolutions(device, FEW["zfnet's first layer"]), SMALL, 1),
    "colours": (lambda device: check_convolutions(device, ((1, 3, 20, 20), 9, (3, 3), (2, 2), (1, 0))), SMALL, 1),
    "step": (check_step, SMALL, 1),
    "cells": (check_cells, SMALL, 1),
}  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_pass_where_there_is_no_bug(devices, monkeypatch, check):
    run, tile, splits = CHECKS[check]
    forced(monkeypatch, tile, splits)
    run(devices["forward"])


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_caught(monkeypatch, bug):
    """By the emulator, which sees races and reads out of bounds, or by the numbers."""
    check, old, new = BUGS[bug]
    run, tile, splits = CHECKS[check]
    forced(monkeypatch, tile, splits)
    broken = InOrder("shuffled", [(old, new)])
    with pytest.raises((KernelError, AssertionError)):
        run(broken)
    assert broken.edited, f"{old!r} is nowhere in the sources any more"


def test_a_small_net_runs_on_the_emulated_gpu():
    """Forward, backward and the deconvnet of a net with the layers of zfnet64, against NumPy."""
    from minizf import deconvnet
    from minizf.layers import LRN, Conv2d, Flatten, Linear, MaxPool2d, ReLU
    from minizf.net import Net

    rng = np.random.default_rng(0)

    def conv(k, c, r, stride, pad):
        return Conv2d(normal(rng, (k, c, r, r), np.float32) / r, normal(rng, k, np.float32), stride, pad)

    net = Net(
        [
            ("conv1", conv(8, 3, 7, 2, 3)),
            ("relu1", ReLU()),
            ("pool1", MaxPool2d(3, 2, 1)),
            ("norm1", LRN()),
            ("conv2", conv(10, 8, 3, 1, 1)),
            ("relu2", ReLU()),
            ("pool2", MaxPool2d(3, 2, 1)),
            ("flatten", Flatten()),
            ("fc3", Linear(normal(rng, (5, 10 * 3 * 4), np.float32) / 10, np.zeros(5, np.float32))),
        ],
        (3, 21, 27),
    )
    x = normal(rng, (2, 3, 21, 27), np.float32)
    dlogits = normal(rng, (2, 5), np.float32)

    def everything():
        logits, tape = net.forward(x)
        dx, grads = net.backward(dlogits, tape)
        return (
            logits,
            dx,
            *grads.values(),
            deconvnet.project(net, tape, "relu2", 1, 4),
            deconvnet.project(net, tape, "fc3", 0, 2),
        )

    with kernels.use("numpy"):
        wanted = everything()
    with kernels.use("cuda-emulated"):
        came = everything()
    for value, other in zip(came, wanted, strict=True):
        assert np.isfinite(value).all()
        assert np.max(np.abs(value - other)) < 2e-5 * np.max(np.abs(other))


def test_sources_hold_no_double_and_no_atomic():
    for file in ("conv_fp32.cu", "deconv_step.cu", "first_layer.cu", "to_colours.cu", "linear_fp32.cu", "packing.cu"):
        text = re.sub(r"//.*", "", source(file))
        assert not re.search(r"\bdouble\b|atomic|\d\.\d*(?!f)[^\w.f]", text), file
