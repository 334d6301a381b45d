"""The ladder of conv2d: from one thread for one output to the tensor cores."""

from typing import NamedTuple

import numpy as np

from kernels import numpy_blas, reference
from kernels.ladder.steps import Bug, Case, Ladder, Launch, Step, Traffic, ceil_div, covered, float4s, floats
from kernels.sizes import conv_output_size

THREADS = 256
MANY = 20_000  # products; beyond, the reference is NumPy and not loops
TF32_EPS = 2.0**-10  # two operands, each rounded to 10 bits of mantissa


class Problem(NamedTuple):
    """x (N, C, H, W), filters (K, C, R, S), no bias."""

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    stride: int
    pad: int

    @property
    def outputs_size(self) -> tuple[int, int]:
        """(P, Q)"""
        return conv_output_size((self.H, self.W), (self.R, self.S), self.stride, self.pad)

    @property
    def pixels(self) -> int:
        P, Q = self.outputs_size
        return self.N * P * Q

    @property
    def outputs(self) -> int:
        return self.K * self.pixels

    @property
    def taps(self) -> int:
        return self.C * self.R * self.S

    @property
    def products(self) -> int:
        """Multiply-adds, those with the padding counted as well."""
        return self.outputs * self.taps

    @property
    def inside(self) -> int:
        """(pixel, tap) whose x lies inside the image: all that anybody reads of x for one filter."""
        P, Q = self.outputs_size
        rows = covered(self.H, self.R, P, self.stride, self.pad)
        return self.N * self.C * rows * covered(self.W, self.S, Q, self.stride, self.pad)


def case(problem: Problem, step: Step | None = None, seed: int = 0) -> Case:
    """Random arrays and the result in float64; the bound is that of a sum of rounded products."""
    outputs_size = problem.outputs_size
    rng = np.random.default_rng(seed)
    N, C, H, W, K, R, S, stride, pad = problem
    x = rng.standard_normal((N, C, H, W)).astype(np.float32)
    w = rng.standard_normal((K, C, R, S)).astype(np.float32)
    sides = (stride, stride), (pad, pad)
    judge = reference if problem.products < MANY else numpy_blas
    expected = judge.conv2d(x.astype(np.float64), w.astype(np.float64), None, *sides)
    magnitude = judge.conv2d(abs(x).astype(np.float64), abs(w).astype(np.float64), None, *sides)
    eps = (problem.taps + 2) * np.finfo(np.float32).eps + (2 * TF32_EPS if step and step.tensor_cores else 0)
    return Case((x, w), (*problem, *outputs_size), (stride, pad), expected, eps * magnitude)


def one_for_each_output(problem: Problem) -> Launch:
    return Launch((ceil_div(problem.outputs, THREADS),), (THREADS,))


def straight(problem: Problem) -> Traffic:
    return Traffic(floats(2 * problem.K * problem.inside), floats(problem.outputs))


def tiles(problem: Problem, side: int) -> tuple[int, int]:
    return ceil_div(problem.pixels, side), ceil_div(problem.K, side)


def shared_tile(problem: Problem) -> Traffic:
    """Blocks of 16 x 16 outputs, 16 taps at a time."""
    across, down = tiles(problem, 16)
    rounds = across * down * 256 * ceil_div(problem.taps, 16)  # a thread, 16 taps
    reads = down * problem.inside + across * problem.K * problem.taps
    return Traffic(floats(reads), floats(problem.outputs), floats(rounds * 16 * 2), floats(rounds * 2))


def big_tile(problem: Problem, reads: int = 16 * 8, ahead: int = 1) -> Traffic:
    """Blocks of 128 x 128 outputs, 8 taps at a time, for which a thread reads shared memory `reads` times; `ahead`: tiles of
    zeros stored after the last tap."""
    across, down = tiles(problem, 128)
    rounds = ceil_div(problem.taps, 8)
    threads = across * down * THREADS
    fetched = down * problem.inside + across * problem.K * problem.taps
    stored = floats(threads * (rounds + ahead) * 8)
    return Traffic(floats(fetched), floats(problem.outputs), floats(threads * rounds * reads), stored)


def vector_loads(problem: Problem) -> Traffic:
    """Writes come in fours too where all four lie in one map."""
    P, Q = problem.outputs_size
    as_before = big_tile(problem)
    writes = float4s(problem.outputs // 4) if P * Q % 4 == 0 else floats(problem.outputs)
    return as_before._replace(shared_reads=float4s(as_before.shared_reads.accesses // 4), global_writes=writes)


BARRIER = Bug("a barrier is missing", "        __syncthreads();\n", "", "        cuda.syncthreads()\n", "")


def large_tiles(problem: Problem) -> Launch:
    return Launch(tiles(problem, 128), (THREADS,))


STEPS = (
    Step(
        "1_naive",
        "one thread makes one output",
        one_for_each_output,
        straight,
        bugs={
            "guard": Bug(
                "the last block has threads without an output, and nobody sends them home",
                "    if (index >= N * K * P * Q) return;\n",
                "",
                "    if index >= N * K * P * Q:\n        return\n",
                "",
            )
        },
    ),
    Step(
        "2_coalesced",
        "neighbouring threads, neighbouring memory",
        one_for_each_output,
        straight,
        bugs={
            "padding": Bug(
                "what lies left of an image is taken for padding only above it: the end of the row before is read",
                "0 <= j && j < W",
                "j < W",
                "0 <= i < H and 0 <= j < W",
                "0 <= i < H and j < W",
            )
        },
    ),
    Step(
        "3_shared_tile",
        "a block reads a tile once and shares it",
        lambda problem: Launch(tiles(problem, 16), (16, 16)),
        shared_tile,
        barriers=lambda problem: 2 * ceil_div(problem.taps, 16),
        bugs={
            "barrier": BARRIER,
            "second-barrier": Bug(
                "the second barrier is missing: a tile is overwritten while others read it",
                "xs[tap][column];\n        __syncthreads();\n",
                "xs[tap][column];\n",
                "xs[tap, column]\n        cuda.syncthreads()\n",
                "xs[tap, column]\n",
            ),
        },
    ),
    Step(
        "4_register_tile",
        "a thread makes 8 x 8 outputs from registers",
        large_tiles,
        lambda problem: big_tile(problem, ahead=0),
        barriers=lambda problem: 2 * ceil_div(problem.taps, 8),
        bugs={
            "barrier": BARRIER,
            "tail": Bug(
                "the last taps are not checked: the last filter reads past the end of w",
                "k + e * 32 < K && first + w_tap < taps",
                "k + e * 32 < K",
                "if f < K and t < taps",
                "if f < K",
            ),
        },
    ),
    Step(
        "5_double_buffer",
        "read the next tile while multiplying this one",
        large_tiles,
        big_tile,
        barriers=lambda problem: ceil_div(problem.taps, 8),
        bugs={
            "barrier": BARRIER,
            "buffer": Bug(
                "the next tile is stored over the one that others still read",
                "store(buffer ^ 1);",
                "store(buffer);",
                "        buffer ^= 1\n",
                "        buffer = 0\n",
            ),
        },
    ),
    Step(
        "6_vector_loads",
        "four numbers with one instruction",
        large_tiles,
        vector_loads,
        barriers=lambda problem: ceil_div(problem.taps, 8),
        languages=("cuda",),
        bugs={
            "barrier": BARRIER,
            "places": Bug(
                "outputs are written where step 5 had them",
                "row + f / 4 * (4 * SPACE) + f % 4",
                "row / 4 + f * SPACE",
            ),
        },
    ),
    Step(
        "7_tensor_cores",
        "mma.sync: 1024 multiply-adds in one instruction, in TF32",
        large_tiles,
        lambda problem: big_tile(problem, reads=24),
        barriers=lambda problem: ceil_div(problem.taps, 8),
        languages=("cuda",),
        tensor_cores=True,
        bugs={
            "barrier": BARRIER,
            "fragment": Bug(
                "two of a thread's four weights change places",
                "a[e][1] = ws[buffer][u][f + 8], a[e][2] = ws[buffer][u + 4][f]",
                "a[e][2] = ws[buffer][u][f + 8], a[e][1] = ws[buffer][u + 4][f]",
            ),
        },
    ),
)

LADDER = Ladder(
    name="conv2d",
    kernel="conv2d",
    steps=STEPS,
    shown=Problem(N=1, C=16, H=18, W=18, K=128, R=3, S=3, stride=1, pad=0),
    small=Problem(N=1, C=4, H=10, W=10, K=16, R=3, S=3, stride=1, pad=0),
    layer=Problem(N=32, C=96, H=55, W=55, K=256, R=5, S=5, stride=2, pad=0),
    layer_name="ZFNet's second layer, 32 images",
    awkward=(
        Problem(N=1, C=1, H=1, W=1, K=1, R=1, S=1, stride=1, pad=0),
        Problem(N=2, C=3, H=9, W=7, K=5, R=3, S=3, stride=2, pad=1),
        Problem(N=3, C=2, H=5, W=11, K=4, R=1, S=2, stride=3, pad=0),  # stride larger than the filter
        Problem(N=1, C=5, H=7, W=13, K=19, R=5, S=3, stride=2, pad=3),  # padding as large as the filter
        Problem(N=1, C=1, H=13, W=11, K=131, R=2, S=1, stride=1, pad=1),  # two tiles of filters, two of pixels
    ),
    case=case,
)
