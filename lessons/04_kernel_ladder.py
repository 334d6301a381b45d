# %% [markdown]
# # Kernels, step by step
#
# **You have** a convolution in loops, and perhaps no GPU. **You will have** kernels that you ran yourself, a
# count of every number they read, and an eye for what makes one slow or wrong. **Needs** NumPy, Numba and
# greenlet (`pip install minizf[emulator]`), no GPU, and half an hour.
#
# A GPU multiplies faster than it can be fed. So the art is in using a number often once it has been fetched,
# and that can be *counted*, without a clock and without a GPU. Kernels here are written in Numba CUDA, as they
# would be for a GPU, and run in the project's simulator, which watches every access.

# %%
import textwrap

import numpy as np
from numba import float32

import kernels
from kernels.emulator import KernelError
from kernels.emulator import simulator as cuda  # on a GPU: from numba import cuda
from kernels.ladder import CONV2D, UNPOOL2D
from kernels.ladder.ceilings import GPUS
from kernels.ladder.running import run, traffic_of
from minizf.view.grids import Grid, draw_grids
from minizf.view.show import show
from minizf.view.style import LIGHT, Sheet

# %% [markdown]
# ## What a number costs
#
# From the datasheet of one GPU: how many multiply-adds it makes in the time in which it reads one float.

# %%
gpu = GPUS["h200"]
products_per_read = (gpu.fp32 / 2) / (gpu.memory / 4)  # tera-products over tera-floats, each second
print(f"{gpu.name}: {products_per_read:.0f} multiply-adds for each float read from memory")
assert products_per_read > 20

# %% [markdown]
# A kernel that reads two numbers for each multiply-add therefore spends nearly all of its time waiting. Such a
# kernel is easily written: it is the definition.
#
# ## One thread for each output
#
# The loops over the outputs `(n, k, p, q)` become threads. All of them run the same function, and each finds
# out from its number, `cuda.grid(1)`, which output is its own.


# %%
@cuda.jit
def naive(x, w, y):
    """x (N, C, H, W), w (K, C, R, S) -> y (N, K, P, Q); stride 1, no padding."""
    C, K, R, S = x.shape[1], w.shape[0], w.shape[2], w.shape[3]
    N, P, Q = y.shape[0], y.shape[2], y.shape[3]
    index = cuda.grid(1)
    if index >= N * K * P * Q:
        return  # the last block has threads to spare
    q, p, k, n = index % Q, index // Q % P, index // Q // P % K, index // Q // P // K
    total = float32(0)
    for c in range(C):
        for r in range(R):
            for s in range(S):
                total += w[k, c, r, s] * x[n, c, p + r, q + s]
    y[n, k, p, q] = total


# %% [markdown]
# `naive[blocks, threads](...)` starts it. `cuda.empty` gives memory that nobody may read before somebody has
# written it, so an output that was forgotten does not stay hidden.

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((1, 3, 8, 10)).astype(np.float32)
w = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
expected = kernels.conv2d(x, w, None, 1, 0)

y = cuda.empty(expected.shape)
naive[-(-y.size // 64), 64](x, w, y)
np.testing.assert_allclose(y, expected, atol=1e-5)

products = y.size * w[0].size
counted = traffic_of(naive.counts)
print(f"{counted.global_reads.accesses} reads for {products} products")
assert counted.global_reads.accesses == 2 * products

# %% [markdown]
# ## A tile that a block shares
#
# The threads of a *block* have a small memory in common. Let a block make 4 x 4 outputs: 4 filters at 4 pixels.
# It walks along the `C R S` taps of the filters, 4 at a time; each of its 16 threads brings one weight and one
# number of `x`, and then everybody finds in shared memory what the others brought. Each number is used 4 times.

# %%
TILE = 4


@cuda.jit
def shared_tile(x, w, y):
    """As `naive`; blocks of TILE x TILE threads, along the pixels (n, p, q) and the filters k."""
    C, K, R, S = x.shape[1], w.shape[0], w.shape[2], w.shape[3]
    N, P, Q = y.shape[0], y.shape[2], y.shape[3]
    ws = cuda.shared.array((TILE, TILE), float32)  # [filter, tap]
    xs = cuda.shared.array((TILE, TILE), float32)  # [tap, pixel]
    column, row, pixels, taps = cuda.threadIdx.x, cuda.threadIdx.y, N * P * Q, C * R * S
    m, k = cuda.blockIdx.x * TILE + column, cuda.blockIdx.y * TILE + row
    q, p, n = m % Q, m // Q % P, m // Q // P

    total = float32(0)
    for first in range(0, taps, TILE):
        t = first + row
        c, r, s = t // S // R, t // S % R, t % S
        xs[row, column] = x[n, c, p + r, q + s] if m < pixels and t < taps else float32(0)
        t = first + column
        ws[row, column] = w[k, t // S // R, t // S % R, t % S] if k < K and t < taps else float32(0)
        cuda.syncthreads()  # nobody reads a tile before all of it is there
        for tap in range(TILE):
            total += ws[row, tap] * xs[tap, column]
        cuda.syncthreads()  # nobody overwrites it before all have read it
    if m < pixels and k < K:
        y[n, k, p, q] = total


blocks = -(-expected[:, 0].size // TILE), -(-len(w) // TILE)
y = cuda.empty(expected.shape)
shared_tile[blocks, (TILE, TILE)](x, w, y)
np.testing.assert_allclose(y, expected, atol=1e-5)

shared = traffic_of(shared_tile.counts)
print(f"{shared.global_reads.accesses} reads of global memory, {shared.shared_reads.accesses} of shared memory")
assert counted.global_reads.accesses / shared.global_reads.accesses == TILE

# %% [markdown]
# ## A wrong version: a barrier is missing
#
# `cuda.syncthreads()` is a barrier: nobody passes before all threads of the block have arrived. Leave it out,
# and on a GPU the kernel may well pass its test, for there the threads of one warp often happen to keep step.
# The simulator does not hope: it knows who wrote each number, and whether a barrier lies between.
#
# The ladder in `kernels/ladder` has this kernel with tiles of 16 as its third step, and can break it on
# request.

# %%
third = CONV2D.steps[2]
for bug in third.bugs:
    try:
        run(CONV2D, third, CONV2D.small, "python", bug=bug)
    except KernelError as error:
        print(f"{third.bugs[bug].says}:", textwrap.fill(str(error), 100), "", sep="\n")
    else:
        raise AssertionError(f"{bug}: the simulator saw nothing")

# %% [markdown]
# ## The ladder
#
# `kernels/ladder/conv2d` goes on from here, a file for each step, in CUDA C++ and in Numba, from the definition
# to the tensor cores: [1](../kernels/ladder/conv2d/1_naive.cu), [2](../kernels/ladder/conv2d/2_coalesced.cu),
# [3](../kernels/ladder/conv2d/3_shared_tile.cu), [4](../kernels/ladder/conv2d/4_register_tile.cu),
# [5](../kernels/ladder/conv2d/5_double_buffer.cu), [6](../kernels/ladder/conv2d/6_vector_loads.cu),
# [7](../kernels/ladder/conv2d/7_tensor_cores.cu). Lay two neighbours side by side: what differs is the idea.
#
# Each file says how often it reads, as a formula. The simulator counts, and the two must agree.

# %%
for step in CONV2D.steps:
    if "python" in step.languages:
        assert run(CONV2D, step, CONV2D.small, "python").traffic == step.claims(CONV2D.small, "python")

problem = CONV2D.shown  # 128 filters of 16 x 3 x 3 at 256 pixels: whole tiles of every size
claimed = [step.claims(problem, "cuda") for step in CONV2D.steps]
reads = {
    "global": [claim.global_reads.accesses / problem.outputs for claim in claimed],
    "shared": [claim.shared_reads.accesses / problem.outputs for claim in claimed],
}
assert reads["global"][0] == 2 * problem.taps
assert reads["global"][0] / reads["global"][2] == 16
assert reads["global"][0] / reads["global"][3] == 128
assert reads["shared"][2] / reads["shared"][3] == 8, "8 x 8 outputs in the registers of a thread"

# %% tags=["hide-input"]
LINE, BAR, LEFT, WIDE = 0.34, 0.2, 1.55, 2.5  # inches
caption = f"Reads by single threads, for one output of {problem.taps} products; {problem.K} filters of "
caption += f"{problem.C} x 3 x 3. Step 2 reads as often as step 1, but neighbours together; step 5 as often as "
caption += "step 4, but ahead of time; in step 6 each read brings four numbers."
title = "What is read to make one output of a convolution"
sheet = Sheet(7.9, 0.32 + LINE * len(CONV2D.steps), title, "", caption)
longest = max(reads["global"] + reads["shared"])
for column, (where, colour) in enumerate((("global", LIGHT.first), ("shared", LIGHT.second))):
    left = LEFT + column * (WIDE + 0.75)
    sheet.text(left, 0, f"reads of {where} memory", weight="bold", color=colour)
    for row, value in enumerate(reads[where]):
        down = 0.32 + row * LINE
        sheet.box(left, down, max(value / longest * WIDE, 0.008), BAR, colour if value else LIGHT.line)
        shown = f"{value:g}" if value else "none"
        sheet.text(
            left + value / longest * WIDE + 0.08, down + 0.04, shown, color=LIGHT.ink if value else LIGHT.muted
        )
for row, step in enumerate(CONV2D.steps):
    sheet.text(0, 0.36 + row * LINE, step.name.replace("_", " "))
show(sheet.figure, "04-reads")

# %% [markdown]
# The long bar does not vanish, it moves: from global memory, which all share, to shared memory, which every
# multiprocessor has for itself, and from there into the registers of the threads. That is the whole plan of
# every fast kernel for a convolution or a matrix product.
#
# What these bars do not show is *which* numbers the 32 threads of a warp read together (step 2), and waiting
# (step 5). The [page of the ladder](ladder.md) counts the first, too, and `python -m kernels.ladder` runs every
# step, counts it, and breaks it.
#
# ## Who adds first
#
# The second ladder, `kernels/ladder/unpool2d`, brings pooled values back to the places that their
# [switches](02_pooling_with_switches.py) name. Where windows overlap, several values meet. Step 1 lets every
# value add itself, in whatever order the threads come. Let them come forward, in reverse and shuffled:

# %%
scatter, gather = UNPOOL2D.steps[:2]
orders = ("forward", "reverse", "shuffled")
meeting = UNPOOL2D.shown._replace(C=1, H=12, W=13)  # windows 3 x 3, stride 2, padding 1
differ = {}
for step in (scatter, gather):
    first, *others = (run(UNPOOL2D, step, meeting, "python", order).output for order in orders)
    differ[step.name] = np.any([first.view(np.uint32) != other.view(np.uint32) for other in others], axis=0)[
        0, 0
    ]
print({name: int(places.sum()) for name, places in differ.items()}, "places differ between three runs")

_, switches = UNPOOL2D.case(meeting).inputs
ones = np.ones(switches.shape, np.float32)
named = kernels.unpool2d(ones, switches, 3, 2, 1, (meeting.H, meeting.W))[0, 0]  # by how many windows
assert differ[scatter.name].any()
assert named[differ[scatter.name]].min() >= 3, "a + b is b + a; only with three numbers the order matters"
assert not differ[gather.name].any()

# %% tags=["hide-input"]
caption = (
    "A map of 12 x 13 places: by how many windows each is named. Ringed: places where the results of three "
)
caption += f"schedules of {scatter.name} differ in their last bits. With {gather.name} there is none."
grid = Grid(named, "windows that name a place", marks=differ[scatter.name])
show(draw_grids([[grid]], "Where three meet, the order decides", caption), "04-order")

# %% [markdown]
# Step 2 turns the question around: every *place* asks the windows that cover it, row by row. Nobody waits for
# anybody, and every run gives the same bits. That is why a training of this library can be repeated exactly.
#
# ## Exercise
#
# `peaks` reads three numbers for each output. Write `my_peaks(x, y)` in which a block of 32 threads reads each
# of its numbers once, and call `check(my_peaks)`.
#
# *Hint:* 32 outputs need 34 numbers, so `cuda.shared.array(34, float32)`; two of the threads bring two. And
# what must stand between bringing and reading?


# %%
@cuda.jit
def peaks(x, y):
    """y[i] = max(x[i], x[i + 1], x[i + 2]), for as many i as y has."""
    i = cuda.grid(1)
    if i < y.size:
        y[i] = max(x[i], x[i + 1], x[i + 2])


def check(mine):
    """Raises where `mine` is wrong, or reads global memory more than 1.2 times for each output."""
    x = np.random.default_rng(1).standard_normal(93).astype(np.float32)
    y = cuda.empty(91)
    mine[3, 32](x, y)
    assert np.array_equal(y, np.maximum(np.maximum(x[:-2], x[1:-1]), x[2:])), "another result than NumPy's"
    reads = traffic_of(mine.counts).global_reads.accesses / y.size
    assert reads <= 1.2, f"{reads:.2f} reads of global memory for each output"


try:
    check(peaks)
except AssertionError as error:
    print(f"check() says: {error}. Now try yours")
else:
    raise AssertionError("check() took three reads for one")
