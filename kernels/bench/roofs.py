"""What this machine can do at most, measured now: how fast numbers multiply and add, how fast bytes move.

A time is held against max(FLOP / peak, bytes / bandwidth). Who is faster than that by more than MARGIN has not done the work,
or the clock or a formula is wrong: an error, not a record.

The peak is the best of a loop of nothing but fused multiply-adds in registers and of a large matrix product. The bandwidth is
the best of a copy (read and written bytes both count), of reading only and of writing only, by all threads at once; with warm
caches it is that of a working set of the problem's size, with cold ones that of memory.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kernels.bench.costs import Cost

MARGIN = 0.15  # how far above a roof noise may lift a time
SIZES = tuple(1 << power for power in (20, 22, 24, 26))  # bytes of the working sets looked at, beside memory itself
GPU_SIZES = tuple(1 << power for power in range(22, 28))  # to well beyond the cache that its multiprocessors share
REPEATS = 5
LOOK_S = 0.12


@dataclass
class Roofs:
    """flops: products and sums a second, by whom. bandwidth: bytes a second for working sets of that many bytes, by kind."""

    flops: dict[str, float] = field(default_factory=dict)
    bandwidth: dict[int, dict[str, float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def peak(self) -> float:
        return max((value for name, value in self.flops.items() if "TF32" not in name), default=float("inf"))

    @property
    def peak_tf32(self) -> float:
        """Where no TF32 product could be timed nothing is known, and nothing is too fast."""
        return max((value for name, value in self.flops.items() if "TF32" in name), default=float("inf"))

    @property
    def copy(self) -> float:
        """Bytes a second of a copy in memory, read and written both counted."""
        return self.memory.get("copy", float("inf"))

    def bytes_a_second(self, footprint: float, cold: bool) -> float:
        """Of a working set of `footprint` bytes: the largest looked at that is not larger, which is no slower."""
        best = max(self.memory.values(), default=float("inf"))
        if cold or not self.bandwidth:
            return best
        sizes = sorted(self.bandwidth)
        at = bisect_right(sizes, footprint) - 1
        return max(best, *self.bandwidth[sizes[max(0, at)]].values())

    def floor(self, cost: Cost, cold: bool, tf32: bool = False) -> tuple[float, str]:
        """(the shortest possible time in seconds, what bounds it)."""
        compute = cost.least_flop / (self.peak_tf32 if tf32 else self.peak)
        memory = cost.bytes / self.bytes_a_second(cost.bytes, cold)
        return (compute, "compute") if compute > memory else (memory, "memory")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Roofs":
        return cls(values["flops"], {int(size): found for size, found in values["bandwidth"].items()}, values["memory"])

    def highest(self, other: "Roofs") -> "Roofs":
        """Of two measurements the higher of each: a disturbed one is too low, never too high."""

        def more(one: dict, two: dict) -> dict:
            return {name: max(one.get(name, 0.0), two.get(name, 0.0)) for name in {**one, **two}}

        sizes = sorted({*self.bandwidth, *other.bandwidth})
        by_size = {size: more(self.bandwidth.get(size, {}), other.bandwidth.get(size, {})) for size in sizes}
        return Roofs(more(self.flops, other.flops), by_size, more(self.memory, other.memory))

    def __str__(self) -> str:
        best = max(self.flops, key=lambda name: self.flops[name]) if self.flops else "nothing"
        return (
            f"{self.peak / 1e9:,.0f} GFLOP/s ({best}), copy {self.copy / 1e9:,.1f} GB/s, "
            f"best of copy, read and write {max(self.memory.values(), default=0) / 1e9:,.1f} GB/s"
        )


def measure(threads: int, cache_bytes: int, show: Callable[[str], None] = lambda text: None) -> Roofs:
    """The processor's roofs with this many threads; some two seconds."""
    found = Roofs()
    show("multiply-adds")
    found.flops = {name: flops for name, flops in (fma_loop(threads), matrix_product()) if flops}
    with ThreadPoolExecutor(threads) as pool:
        for size in SIZES:
            show(f"{size >> 20} MiB")
            found.bandwidth[size] = movements(pool, threads, size)
        show("memory")
        found.memory = movements(pool, threads, max(4 * cache_bytes, 1 << 27))
    return found


def movements(pool: ThreadPoolExecutor, threads: int, size: int) -> dict[str, float]:
    """Bytes a second of copying, reading and writing a working set of `size` bytes."""
    half = np.zeros(size // 8, np.float32), np.zeros(size // 8, np.float32)
    sources, targets = (np.array_split(array, threads) for array in half)
    times = max(1, (1 << 26) // size)

    def copy(part: int) -> None:
        for _ in range(times):
            np.copyto(targets[part], sources[part])

    def read(part: int) -> None:
        for _ in range(times):
            sources[part].max()
            targets[part].max()

    def write(part: int) -> None:
        for _ in range(times):
            sources[part].fill(1)
            targets[part].fill(1)

    def rate(work: Callable[[int], None]) -> float:
        return times * size / shortest(lambda: list(pool.map(work, range(threads))))

    return {"copy": rate(copy), "read": rate(read), "write": rate(write)}


def shortest(work: Callable[[], Any], look_s: float = LOOK_S) -> float:
    """Seconds of the best of at least REPEATS, after one that warms up.

    The work should take about a millisecond: even on a busy machine some of them then run undisturbed.
    """
    work()
    took: list[float] = []
    stop = time.perf_counter() + look_s
    while len(took) < REPEATS or time.perf_counter() < stop:
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def matrix_product(side: int = 1024) -> tuple[str, float]:
    """NumPy's BLAS, with the threads it has."""
    one, two, out = (np.ones((side, side), np.float32) for _ in range(3))
    return f"NumPy's matrix product of {side}", 2 * side**3 / shortest(lambda: np.matmul(one, two, out=out))


def fma_loop(threads: int) -> tuple[str, float]:
    """Our own loop of fused multiply-adds; ("", 0) without Numba."""
    try:
        from kernels.bench.multiply_adds import FLOP_A_TURN, spin
    except ImportError:
        return "", 0.0
    turns = 500_000  # a millisecond
    seconds = shortest(lambda: spin(threads, turns), 3 * LOOK_S)
    return "loop of fused multiply-adds", threads * turns * FLOP_A_TURN / seconds


def measure_gpu(cupy: Any, clock: Any) -> Roofs:
    """The current CUDA device's: copies within its memory and its cache, and a large matrix product in float32 and in TF32."""
    found = Roofs()
    free = cupy.cuda.Device().mem_info[0]
    count = min(1 << 28, free // 16)
    source, target = cupy.ones(count, cupy.float32), cupy.empty(count, cupy.float32)
    found.memory["copy"] = 8 * count / best_of(clock, lambda: cupy.copyto(target, source))
    found.memory["write"] = 4 * count / best_of(clock, lambda: target.fill(1))
    found.memory["read"] = 4 * count / best_of(clock, lambda: source.max())
    for size in (size for size in GPU_SIZES if size <= 8 * count):
        one, other = source[: size // 8], target[: size // 8]
        found.bandwidth[size] = {
            "copy": size / best_of(clock, lambda: cupy.copyto(other, one)),  # noqa: B023
            "add": size / best_of(clock, lambda: cupy.add(one, 1, out=other)),  # noqa: B023
        }
    side = 8192 if free > 4 << 30 else 2048
    one = cupy.ones((side, side), cupy.float32)
    found.flops[f"cuBLAS matrix product of {side}"] = 2 * side**3 / best_of(clock, lambda: one @ one)
    with suppress(AttributeError), tensor_float_32(cupy):
        found.flops[f"cuBLAS matrix product of {side} in TF32"] = 2 * side**3 / best_of(clock, lambda: one @ one)
    return found


@contextmanager
def tensor_float_32(cupy: Any) -> Iterator[None]:
    """CuPy's matrix products may round their factors; AttributeError where this CuPy cannot be told so."""
    linalg = cupy._core._routines_linalg
    before = linalg.get_compute_type(np.float32)
    linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32)
    try:
        yield
    finally:
        linalg.set_compute_type(np.float32, before)


def best_of(clock: Any, work: Callable[[], Any]) -> float:
    work()
    return min(clock.time(work)[1] for _ in range(2 * REPEATS))
