"""The ladder of unpool2d: from atomic additions in any order to four places at once in a fixed one."""

from typing import NamedTuple

import numpy as np

from kernels import numpy_blas, reference
from kernels.ladder.steps import Bug, Case, Ladder, Launch, Memory, Step, Traffic, ceil_div, covered, float4s, floats
from kernels.sizes import pool_output_size

THREADS = 256
MANY = 1000  # places; beyond, the reference is NumPy and not loops


class Problem(NamedTuple):
    """Pooled maps (N, C, P, Q) of images (N, C, H, W), windows R x S."""

    N: int
    C: int
    H: int
    W: int
    R: int
    S: int
    stride: int
    pad: int

    @property
    def pooled_size(self) -> tuple[int, int]:
        """(P, Q)"""
        return pool_output_size((self.H, self.W), (self.R, self.S), self.stride, self.pad)

    @property
    def pooled(self) -> int:
        P, Q = self.pooled_size
        return self.N * self.C * P * Q

    @property
    def outputs(self) -> int:
        """Places of x."""
        return self.N * self.C * self.H * self.W

    @property
    def fours(self) -> int:
        return self.N * self.C * self.H * ceil_div(self.W, 4)

    @property
    def covering_rows(self) -> int:
        """(row of x, row of windows that covers it)"""
        return covered(self.H, self.R, self.pooled_size[0], self.stride, self.pad)

    def covering_columns(self, together: int) -> int:
        """(group of `together` neighbours in a row, column of windows that covers any of them)"""
        _, Q = self.pooled_size
        total = 0
        for j in range(0, self.W, together):
            last = min(j + together, self.W) - 1
            total += sum(q * self.stride - self.pad <= last and j < q * self.stride - self.pad + self.S for q in range(Q))
        return total


def case(problem: Problem, step: Step | None = None, seed: int = 0) -> Case:
    """Switches as pooling a random map gives them, and a signal of both signs to send back, one value of it NaN."""
    numbers = (*problem, *problem.pooled_size)
    rng = np.random.default_rng(seed)
    N, C, H, W, R, S, stride, pad = problem
    sides = (R, S), (stride, stride), (pad, pad)
    bright = rng.integers(0, 7, (N, C, H, W)).astype(np.float32)  # the strongest places win many windows
    judge = reference if bright.size < MANY else numpy_blas
    _, switches = judge.maxpool2d(bright, *sides)
    y = rng.standard_normal(switches.shape).astype(np.float32)
    if y.size > 8:
        y.flat[y.size // 2] = np.nan
    unpool = judge.unpool_relu if step and step.rectified else judge.unpool2d
    expected = unpool(y.astype(np.float64), switches, *sides, (H, W), "sum")
    magnitude = judge.unpool2d(abs(np.nan_to_num(y)).astype(np.float64), switches, *sides, (H, W), "sum")
    bound = R * S * np.finfo(np.float32).eps * magnitude
    return Case((y, switches), numbers, (R, S, stride, pad), expected, bound)


def threads(count: int) -> Launch:
    return Launch((ceil_div(count, THREADS),), (THREADS,))


def scatter(problem: Problem) -> Traffic:
    """Each value, its switch, and an addition that reads and writes; clearing x is the host's, and not counted here."""
    pooled = floats(problem.pooled)
    return Traffic(pooled + Memory(problem.pooled, problem.pooled) + pooled, pooled)


def gather(problem: Problem, together: int = 1, vectors: bool = False) -> Traffic:
    asked = problem.N * problem.C * problem.covering_rows * problem.covering_columns(together)
    written = float4s(problem.fours) if vectors and problem.W % 4 == 0 else floats(problem.outputs)
    return Traffic(floats(problem.pooled) + Memory(asked, asked), written)


def gather_fours(problem: Problem) -> Traffic:
    return gather(problem, 4, vectors=True)


def gather_fours_one_by_one(problem: Problem) -> Traffic:
    """Numba writes four floats with four instructions."""
    return gather(problem, 4)


def fours(problem: Problem) -> Launch:
    return threads(problem.fours)


GUARD = "the last block has threads without a place, and nobody sends them home"

STEPS = (
    Step(
        "1_scatter_atomics",
        "every pooled value adds itself to its place",
        lambda problem: threads(problem.pooled),
        scatter,
        cleared=True,
        bugs={
            "guard": Bug(
                GUARD,
                "    if (index >= N * C * P * Q) return;\n",
                "",
                "    if index >= N * C * P * Q:\n        return\n",
                "",
            ),
            "overwrite": Bug(
                "a value replaces what other windows brought, where it should be added",
                "atomicAdd(&x[(plane * H + i) * W + j], y[index]);",
                "x[(plane * H + i) * W + j] = y[index];",
                "cuda.atomic.add(x, (n, c, p * stride - pad + r, q * stride - pad + s), y[n, c, p, q])",
                "x[n, c, p * stride - pad + r, q * stride - pad + s] = y[n, c, p, q]",
            ),
        },
    ),
    Step(
        "2_gather",
        "every place asks the windows that cover it",
        lambda problem: threads(problem.outputs),
        gather,
        bugs={
            "edge": Bug(
                "the last row and column of windows are forgotten",
                "p1 = min(P - 1, (i + pad) / stride)",
                "p1 = min(P - 2, (i + pad) / stride)",
                "0 <= p < P and",
                "0 <= p < P - 1 and",
            ),
            "switch": Bug("a switch is read column by column", "== r * S + s", "== s * R + r", "== r * S + s", "== s * R + r"),
        },
    ),
    Step(
        "3_four_in_a_row",
        "a thread asks for four places at once",
        fours,
        gather_fours,
        gather_fours_one_by_one,
        bugs={
            "row": Bug(
                "switches that name another row are not sent away",
                "s < 0 || s >= S || mine < 0",
                "mine < 0",
                "if 0 <= s < S and 0 <= mine < 4",
                "if 0 <= mine < 4",
            ),
        },
    ),
    Step(
        "4_fused_rectify",
        "and rectifies them while they are in registers",
        fours,
        gather_fours,
        gather_fours_one_by_one,
        rectified=True,
        bugs={
            "nan": Bug(
                "NaN is rectified to 0, and a number gone wrong is never seen",
                "if (sum[e] <= 0) sum[e] = 0;",
                "sum[e] = fmaxf(sum[e], 0);",
                "float32(0) if total[e] <= 0 else total[e]",
                "total[e] if total[e] > 0 else float32(0)",
            ),
        },
    ),
)

LADDER = Ladder(
    name="unpool2d",
    kernel="unpool2d",
    steps=STEPS,
    shown=Problem(N=1, C=4, H=32, W=32, R=3, S=3, stride=2, pad=1),
    small=Problem(N=1, C=2, H=16, W=16, R=3, S=3, stride=2, pad=1),
    layer=Problem(N=32, C=96, H=110, W=110, R=3, S=3, stride=2, pad=1),
    layer_name="ZFNet's first pool, 32 images",
    awkward=(
        Problem(N=1, C=1, H=1, W=1, R=1, S=1, stride=1, pad=0),
        Problem(N=2, C=3, H=9, W=7, R=3, S=3, stride=2, pad=1),
        Problem(N=1, C=5, H=8, W=11, R=3, S=2, stride=3, pad=0),  # rows and columns that no window covers
        Problem(N=1, C=2, H=13, W=12, R=3, S=3, stride=1, pad=1),  # up to nine windows name one place
        Problem(N=2, C=3, H=5, W=8, R=2, S=2, stride=2, pad=0),
    ),
    case=case,
    deterministic=False,
)
