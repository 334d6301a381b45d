"""The simulated GPU that a kernel knows as `cuda`: threads, barriers, warps, atomics.

Threads of a block are greenlets on one operating system thread: each runs until it waits at a barrier or a warp operation, and
when nobody can run any more, those who wait for each other are released, or the kernel is at fault. Kernels that never wait
need no greenlets.
"""

import random
import sys
from collections.abc import Callable, Iterable
from contextvars import copy_context
from itertools import product
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import numpy as np
from greenlet import getcurrent, greenlet

from kernels.emulator.report import KernelError
from kernels.emulator.simulator_memory import LocalArray, Moment, SharedArray, Watched, as_shape, name_on_line

WARP = 32
STATIC_SHARED_BYTES = 48 * 1024
OWN_FILES = {__file__, __file__.replace("_machine", "_memory"), __file__.replace("_machine", "")}


class Dim3(NamedTuple):
    x: int
    y: int = 1
    z: int = 1


class Waiting(NamedTuple):
    operation: str
    line: int
    mask: int  # which lanes of the warp take part; -1: the whole block does
    value: Any


class Block(NamedTuple):
    place: tuple[int, int, int]


class Thread:
    def __init__(self, place: tuple[int, int, int], serial: int, block: Block) -> None:
        self.place, self.block = place, block
        self.index = Dim3(*place)
        self.warp, self.lane = divmod(serial, WARP)
        self.interval = self.warp_interval = 0
        self.here = self.moment()
        self.counts = [0] * 9
        self.greenlet: Any = None
        self.waiting: Waiting | None = None
        self.result: Any = None

    def moment(self, atomic: bool = False) -> Moment:
        return Moment(self, self.block, self.interval, self.warp, self.warp_interval, atomic)

    def atomic_moment(self) -> Moment:
        return self.moment(atomic=True)


class Machine:
    """One launch. The public names are those of `numba.cuda` inside a kernel; everything else belongs to the simulator."""

    warpsize = WARP

    def __init__(
        self, kernel: str, grid: Dim3, block: Dim3, dynamic_bytes: int, checked: bool, double: bool, order: str
    ) -> None:
        self.kernel, self.dynamic_bytes, self.checked, self.double = kernel, dynamic_bytes, checked, double
        self.gridDim, self.blockDim = grid, block
        self.threadIdx = self.blockIdx = Dim3(0, 0, 0)
        self.laneid = 0
        self.order = order
        self.shared = SimpleNamespace(array=self.shared_array)
        self.local = SimpleNamespace(array=self.local_array)
        self.const = SimpleNamespace(array_like=lambda array: array)
        self.atomic = Atomic()
        self.main = getcurrent()
        self.thread = Thread((0, 0, 0), 0, Block((0, 0, 0)))
        self.here = self.thread.here
        self.shared_arrays: dict[Any, Any] = {}
        self.awaited: KernelError | None = None
        self.counts: dict[tuple[int, int, int], list[list[int]]] = {}  # of every block that ran: its threads' counts

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the simulator has no cuda.{name}")

    # what a kernel asks about itself

    def grid(self, dimensions: int) -> Any:
        position = [b * n + t for b, n, t in zip(self.blockIdx, self.blockDim, self.threadIdx, strict=True)]
        return position[0] if dimensions == 1 else tuple(position[:dimensions])

    def gridsize(self, dimensions: int) -> Any:
        size = [n * g for n, g in zip(self.blockDim, self.gridDim, strict=True)]
        return size[0] if dimensions == 1 else tuple(size[:dimensions])

    # memory

    def shared_array(self, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
        caller = sys._getframe(1)
        shape, dtype = as_shape(shape), as_dtype(dtype)
        key = (caller.f_code, caller.f_lasti)
        if shape == (0,):
            key, shape = "dynamic", (self.dynamic_bytes // dtype.itemsize,)  # type: ignore[assignment]
        found = self.shared_arrays.get(key)
        if found is None:
            name = name_on_line(caller.f_code.co_filename, caller.f_lineno)
            found = self.shared_arrays[key] = SharedArray(self, name, shape, dtype) if self.checked else poisoned(shape, dtype)
            taken = sum(array.size * array.dtype.itemsize for where, array in self.shared_arrays.items() if where != "dynamic")
            if taken > STATIC_SHARED_BYTES:
                self.fail(
                    f"its shared arrays of fixed size take {taken} bytes, a block has {STATIC_SHARED_BYTES}; use smaller tiles "
                    "or shape 0 and dynamic shared memory"
                )
        if found.dtype != dtype:
            self.fail(f"dynamic shared memory is used as {found.dtype} and as {dtype}; this is not simulated")
        return found

    def local_array(self, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
        shape, dtype = as_shape(shape), as_dtype(dtype)
        if not self.checked:
            return poisoned(shape, dtype)
        caller = sys._getframe(1)
        return LocalArray(self, name_on_line(caller.f_code.co_filename, caller.f_lineno), shape, dtype)

    # barriers

    def syncthreads(self) -> None:
        self.wait("syncthreads", -1)

    def syncthreads_count(self, value: Any) -> int:
        return sum(map(bool, self.wait("syncthreads_count", -1, value)))

    def syncthreads_and(self, value: Any) -> int:
        return int(all(self.wait("syncthreads_and", -1, value)))

    def syncthreads_or(self, value: Any) -> int:
        return int(any(self.wait("syncthreads_or", -1, value)))

    def syncwarp(self, mask: int = 0xFFFFFFFF) -> None:
        self.wait("syncwarp", mask)

    def threadfence(self) -> None:
        pass

    threadfence_block = threadfence_system = threadfence

    # warp operations: their values are those of the lanes that take part, by lane

    def shfl_sync(self, mask: int, value: Any, lane: int) -> Any:
        return self.shuffle("shfl_sync", mask, value, lane % WARP)

    def shfl_up_sync(self, mask: int, value: Any, delta: int) -> Any:
        return self.shuffle("shfl_up_sync", mask, value, self.laneid - delta)

    def shfl_down_sync(self, mask: int, value: Any, delta: int) -> Any:
        return self.shuffle("shfl_down_sync", mask, value, self.laneid + delta)

    def shfl_xor_sync(self, mask: int, value: Any, delta: int) -> Any:
        return self.shuffle("shfl_xor_sync", mask, value, self.laneid ^ delta)

    def ballot_sync(self, mask: int, value: Any) -> int:
        return sum(1 << lane for lane, vote in self.wait("ballot_sync", mask, value).items() if vote)

    def all_sync(self, mask: int, value: Any) -> bool:
        return all(self.wait("all_sync", mask, value).values())

    def any_sync(self, mask: int, value: Any) -> bool:
        return any(self.wait("any_sync", mask, value).values())

    def eq_sync(self, mask: int, value: Any) -> bool:
        return len(set(self.wait("eq_sync", mask, value).values())) == 1

    def shuffle(self, operation: str, mask: int, value: Any, source: int) -> Any:
        lane = self.laneid
        values = self.wait(operation, mask, value)
        if not 0 <= source < WARP:
            return values[lane]
        if source not in values:
            self.fail(f"{operation}: lane {lane} reads the value of lane {source}, which does not take part")
        return values[source]

    # arithmetic that Python lacks

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        kind = np.result_type(a, b, c).type
        return kind(np.longdouble(a) * np.longdouble(b) + np.longdouble(c))

    def popc(self, value: int) -> int:
        return (value & 0xFFFFFFFF).bit_count()

    def selp(self, condition: Any, a: Any, b: Any) -> Any:
        return a if condition else b

    # the simulator's own part

    def run(self, kernel: Callable, arguments: tuple, cooperative: bool) -> None:
        """Every block, one after another. `cooperative`: its threads may wait for each other."""
        blocks = self.ordered(places_of(self.gridDim))
        for place in blocks:
            block = Block(place)
            self.blockIdx, self.shared_arrays = Dim3(*place), {}
            threads = [Thread(where, serial, block) for serial, where in enumerate(places_of(self.blockDim))]
            self.counts[place] = [thread.counts for thread in threads]
            if cooperative:
                for thread in threads:
                    thread.greenlet = greenlet(kernel, self.main)
                    thread.greenlet.gr_context = copy_context()  # NumPy's errstate lives there
                self.run_together(threads, arguments)
            else:
                for thread in self.ordered(threads):
                    self.enter(thread)
                    kernel(*arguments)
            self.raise_awaited()

    def ordered(self, items: Iterable[Any]) -> list[Any]:
        items = list(items)
        if self.order == "reverse":
            items.reverse()
        elif self.order == "shuffled":
            random.Random(len(items)).shuffle(items)
        return items

    def run_together(self, threads: list[Thread], arguments: tuple) -> None:
        ready = self.ordered(threads)
        for thread in ready:
            self.enter(thread)
            thread.greenlet.switch(*arguments)
        while True:
            waiting = [thread for thread in threads if thread.waiting]
            if not waiting:
                return
            ready = self.released(threads, waiting)
            for thread in self.ordered(ready):
                thread.waiting = None
                self.enter(thread)
                thread.greenlet.switch()

    def enter(self, thread: Thread) -> None:
        self.thread, self.here = thread, thread.here
        self.threadIdx, self.laneid = thread.index, thread.lane

    def wait(self, operation: str, mask: int, value: Any = None) -> Any:
        thread = self.thread
        if thread.greenlet is None:
            self.fail(f"{operation} is called in a way the simulator did not see coming; call it as cuda.{operation}(...)")
        line = kernel_frame(sys._getframe(1)).f_lineno
        if mask != -1:
            mask &= 0xFFFFFFFF
            if not mask >> thread.lane & 1:
                self.fail(f"{operation}: lane {thread.lane} is not in its own mask {mask:#010x}")
        thread.waiting = Waiting(operation, line, mask, value)
        self.main.switch()
        return thread.result

    def released(self, threads: list[Thread], waiting: list[Thread]) -> list[Thread]:
        """Those who need wait no longer; a kernel in which nobody can go on is at fault."""
        ready = []
        lanes = {(thread.warp, thread.lane): thread for thread in waiting}  # those that have returned are not waited for
        for thread in waiting:
            at = thread.waiting
            if at is None or at.mask == -1 or thread in ready:
                continue
            group = [lanes[thread.warp, lane] for lane in range(WARP) if at.mask >> lane & 1 and (thread.warp, lane) in lanes]
            if all(other.waiting and other.waiting[:3] == at[:3] for other in group):
                values = {other.lane: other.waiting.value for other in group if other.waiting}
                for other in group:
                    other.result = values
                    if at.operation == "syncwarp":
                        other.warp_interval += 1
                        other.here = other.moment()
                ready += group
        if ready:
            return ready
        self.raise_awaited()
        first = waiting[0].waiting
        if first and all(t.waiting and t.waiting[:3] == first[:3] for t in threads):
            values_of_all = [thread.waiting.value for thread in threads if thread.waiting]
            for thread in threads:
                thread.result = values_of_all
                thread.interval += 1
                thread.here = thread.moment()
            return threads
        self.diverged(threads, waiting)

    def diverged(self, threads: list[Thread], waiting: list[Thread]) -> NoReturn:
        thread = next((thread for thread in waiting if thread.waiting and thread.waiting.mask != -1), waiting[0])
        at = thread.waiting
        assert at is not None
        group = threads
        if at.mask != -1:
            group = [other for other in waiting if other.warp == thread.warp and at.mask >> other.lane & 1]
        other = next(other for other in group if not other.waiting or other.waiting[:3] != at[:3])
        if other.waiting is None:
            does = "has returned"
        else:
            does = f"waits at {other.waiting.operation} in line {other.waiting.line}"
            if other.waiting[:2] == at[:2]:
                does += f" with mask {other.waiting.mask:#010x}"
        whole = "every thread of the block" if at.mask == -1 else f"every lane of its mask {at.mask:#010x}"
        self.enter(thread)
        self.fail(
            f"divergent {at.operation}: this thread waits in line {at.line} for {whole}, but thread {other.place} {does}",
            line=at.line,
        )

    def fail_at_barrier(self, what: str) -> None:
        """As `fail`, but only when the threads meet next, or something else fails: until then a better reason may be found."""
        if self.awaited is None:
            self.awaited = self.error(what)

    def fail(self, what: str, line: int | None = None) -> NoReturn:
        """The error of the thread that runs now, at the kernel's line that called the simulator."""
        self.raise_awaited()
        raise self.error(what, line)

    def raise_awaited(self) -> None:
        if self.awaited is not None:
            raise self.awaited

    def error(self, what: str, line: int | None = None) -> KernelError:
        frame = kernel_frame(sys._getframe(1))
        file = frame.f_code.co_filename if line is None else self.file
        return KernelError(
            self.kernel, self.thread.block.place, self.thread.place, what, file, frame.f_lineno if line is None else line
        )

    file = ""  # of the kernel, where the failing thread is not the one that runs


class Atomic:
    """`cuda.atomic`: each returns the old value."""

    def add(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: old + value)

    def sub(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: old - value)

    def max(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: max(old, value))

    def min(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: min(old, value))

    def and_(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: old & value)

    def or_(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: old | value)

    def xor(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: old ^ value)

    def exch(self, array: Any, index: Any, value: Any) -> Any:
        return change(array, index, lambda old: value)

    def cas(self, array: Any, index: Any, old: Any, value: Any) -> Any:
        return change(array, index, lambda found: value if found == old else found)

    def compare_and_swap(self, array: Any, old: Any, value: Any) -> Any:
        return self.cas(array, 0, old, value)


def change(array: Any, index: Any, new: Callable[[Any], Any]) -> Any:
    if isinstance(array, Watched):
        return array.change(index, new)
    old = array[index]
    array[index] = new(old)
    return old


def places_of(size: Dim3) -> list[tuple[int, int, int]]:
    """(x, y, z) of every thread of a block, or every block of a grid, in CUDA's order: x first."""
    return [(x, y, z) for z, y, x in product(range(size.z), range(size.y), range(size.x))]


def kernel_frame(frame: FrameType) -> FrameType:
    """The innermost frame that is not the simulator's."""
    while frame.f_code.co_filename in OWN_FILES and frame.f_back is not None:
        frame = frame.f_back
    return frame


def as_dtype(dtype: Any) -> np.dtype:
    """From NumPy's dtypes, Numba's types, or the simulator's stand-ins for them."""
    return np.dtype(getattr(dtype, "name", dtype) if not isinstance(dtype, type) else dtype)


def poisoned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8).fill(255)
    return array
