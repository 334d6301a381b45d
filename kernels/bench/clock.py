"""How a time is taken: on the processor by the wall, on a GPU by events on its stream, always with a second look.

The clocks' own functions are bound when this file is read, before anything that is timed is imported, and a second, independent
clock runs beside the first: an implementation that replaces `time.perf_counter` changes nothing and is told so.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from kernels.bench.checking import Rejected

TIMERS = {name: getattr(time, name) for name in dir(time) if name.removesuffix("_ns") in ("perf_counter", "monotonic", "time")}
TIMERS |= {name: getattr(time, name) for name in ("process_time", "sleep", "clock_gettime_ns") if hasattr(time, name)}
RAW = getattr(time, "CLOCK_MONOTONIC_RAW", getattr(time, "CLOCK_MONOTONIC", None))
READ_RAW = getattr(time, "clock_gettime_ns", None)


class Clock(Protocol):
    """Takes the time of one call."""

    name: str

    def time(self, call: Callable[[], Any]) -> tuple[Any, float]:
        """(what the call returned, seconds). Rejected when the time cannot be believed."""

    def flush(self) -> None:
        """Makes the caches cold."""


class WallClock:
    """The wall, for work that is done when the call returns."""

    name = "time.perf_counter_ns"

    def __init__(self, flush_bytes: int, threads: int) -> None:
        self.threads = threads
        self.parts = np.array_split(np.zeros(flush_bytes // 8), threads)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def time(
        self, call: Callable[[], Any], now: Callable[[], int] = time.perf_counter_ns, raw: Callable[[], int] | None = None
    ) -> tuple[Any, float]:
        beside = raw or raw_clock
        other = beside()
        start = now()
        result = call()
        stop = now()
        other = beside() - other
        require_true_timers()
        require_agreement(stop - start, other)
        return result, (stop - start) * 1e-9

    def flush(self) -> None:
        """Every thread writes its part of a buffer of at least twice the last cache."""
        if self.pool:
            list(self.pool.map(touch, self.parts))
        else:
            touch(self.parts[0])


def touch(part: np.ndarray) -> None:
    np.add(part, 1.0, out=part)


def raw_clock(read: Callable | None = READ_RAW, which: int | None = RAW, instead: Callable = time.monotonic_ns) -> int:
    """Nanoseconds of the clock that nothing adjusts, where there is one."""
    return read(which) if read else instead()


def require_agreement(span_ns: int, other_ns: int) -> None:
    """Two clocks around the same call agree; the second was started before and stopped after the first."""
    if span_ns <= 0 or span_ns < 0.99 * other_ns - 100_000:
        raise Rejected(
            f"two clocks disagree about its call: {span_ns / 1e6:.3f} and {other_ns / 1e6:.3f} ms; a timer is not true"
        )


def require_true_timers() -> None:
    """The functions of `time` are still Python's own; those that are not are put back."""
    patched = [name for name, true in TIMERS.items() if getattr(time, name) is not true]
    for name in patched:
        setattr(time, name, TIMERS[name])
    if patched:
        raise Rejected(f"replaced the timer time.{patched[0]}")


LATE_S = 2e-3  # a busy host may take this long to see that the GPU is done; who hides less than that is above the roof


class EventClock:
    """Two events around the call on the current stream of a GPU.

    cuda: a module like `cupy.cuda` (Event, get_elapsed_time, Device). hold: keeps the GPU busy for a moment before the first
    event, so that Python is done launching before the GPU begins and launches cost nothing; clear: overwrites its cache.
    """

    name = "CUDA events"

    def __init__(self, cuda: Any, hold: Callable[[], None], clear: Callable[[], None]) -> None:
        self.cuda, self.hold, self.flush = cuda, hold, clear

    def time(self, call: Callable[[], Any], now: Callable[[], int] = time.perf_counter_ns) -> tuple[Any, float]:
        start, stop = self.cuda.Event(), self.cuda.Event()
        self.hold()
        start.record()
        result = call()
        stop.record()
        stop.synchronize()
        reached = now()
        self.cuda.Device().synchronize()  # other streams too
        late = (now() - reached) * 1e-9
        seconds = self.cuda.get_elapsed_time(start, stop) * 1e-3
        require_true_timers()
        if seconds <= 0:
            raise Rejected(f"the GPU's events say it took {seconds:g} s")
        if late > 0.2 * seconds + LATE_S:
            raise Rejected(f"work went on for {late * 1e3:.2f} ms on another stream after its call of {seconds * 1e3:.2f} ms")
        return result, seconds


HOLD_CYCLES = 1_000_000  # half a millisecond: longer than Python takes for the launches of a call
HOLD = """extern "C" __global__ void hold(long long cycles) {
    long long start = clock64();
    while (clock64() - start < cycles) {}
}"""


def gpu_clock(cupy: Any) -> EventClock:
    """The clock of the current CUDA device."""
    cache = cupy.cuda.Device().attributes["L2CacheSize"]
    buffer = cupy.zeros(max(2 * cache, 1 << 24), cupy.uint8)
    spin = cupy.RawKernel(HOLD, "hold")
    return EventClock(cupy.cuda, lambda: spin((1,), (1,), (cupy.int64(HOLD_CYCLES),)), lambda: buffer.fill(1))


def last_cache_bytes() -> int:
    """The size of the last cache before memory, as Linux tells it; elsewhere 64 MiB, more than most have."""
    sizes = []
    folder = "/sys/devices/system/cpu/cpu0/cache"
    for index in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            with open(f"{folder}/{index}/size") as file:
                text = file.read().strip()
        except OSError:
            continue
        sizes.append(int(text[:-1]) << {"K": 10, "M": 20, "G": 30}[text[-1]])
    return max(sizes, default=64 << 20)
