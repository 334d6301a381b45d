"""Memory of simulated kernels that watches every access: bounds, unwritten values, data races, double precision, traffic.

    GlobalArray   an argument of the launch: a NumPy array, seen through checks
    SharedArray   `cuda.shared.array`: one for each block and place in the source
    LocalArray    `cuda.local.array`: one for each thread

Two accesses to one element by different threads are a race if at least one writes, not both are atomic, and no barrier lies
between: for threads of one block `syncthreads`, for lanes of one warp also `syncwarp`, for threads of different blocks nothing.
Whether they are reported does not depend on the order in which the simulator happens to run the threads.
"""

import linecache
import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from math import prod
from operator import index as whole_number
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from kernels.emulator.simulator_machine import Machine

GLOBAL_READS, GLOBAL_WRITES, SHARED_READS, SHARED_WRITES, ATOMICS = 0, 2, 4, 6, 8  # in a thread's counts; bytes one after


class Moment:
    """A thread between two barriers: who accesses memory, and when."""

    __slots__ = ("atomic", "block", "interval", "thread", "warp", "warp_interval")

    def __init__(self, thread: Any, block: Any, interval: int, warp: int, warp_interval: int, atomic: bool = False) -> None:
        self.thread, self.block, self.interval, self.atomic = thread, block, interval, atomic
        self.warp, self.warp_interval = warp, warp_interval

    def races_with(self, other: "Moment") -> bool:
        if self.thread is other.thread or (self.atomic and other.atomic):
            return False
        if self.block is not other.block:
            return True
        if self.interval != other.interval:
            return False
        return self.warp != other.warp or self.warp_interval == other.warp_interval


@cache
def places(shape: tuple[int, ...]) -> dict[Any, int]:
    """Every index of a small array -> its number in row-major order. One-dimensional arrays are indexed by plain numbers."""
    if len(shape) == 1:
        return {place: place for place in range(shape[0])}
    return {place: number for number, place in enumerate(product(*map(range, shape)))}


def converter(dtype: np.dtype, allow_double: bool, machine: "Machine") -> tuple[type, Callable[[Any], Any]]:
    """The type that values of `dtype` have inside a kernel, and how another value becomes one when it is stored."""
    if dtype.kind in "iu":
        bits, signed = 8 * dtype.itemsize, dtype.kind == "i"

        def to_integer(value: Any) -> int:
            number = int(value) & ((1 << bits) - 1)
            return number - (1 << bits) if signed and number >> (bits - 1) else number

        return type(None), to_integer  # no type passes unchecked: an int may be too wide
    if dtype.kind == "b":
        return bool, bool
    scalar = dtype.type

    def to_float(value: Any) -> Any:
        if isinstance(value, float) and dtype.itemsize < 8 and not allow_double:  # np.float64 is a float too
            machine.fail(
                f"stores a float64 into {dtype} memory: somewhere the kernel computes in double precision; write numbers as "
                "float32(0.5) (or give jit double=True if double precision is meant)"
            )
        return scalar(value)

    return scalar, to_float


class Indexed:
    """An array of known shape in a kernel. `number` below is an element's place in row-major order."""

    kind = "array"
    machine: "Machine"
    name: str
    shape: tuple[int, ...]
    ndim: int

    def number(self, index: Any) -> int:
        """Row-major number of an index, or the error that says what is wrong with it."""
        if type(index) is not tuple:
            index = (index,)
        elif self.ndim == len(index) == 2 and type(index[0]) is int is type(index[1]):
            i, j = index
            if 0 <= i < self.shape[0] and 0 <= j < self.shape[1]:
                return i * self.shape[1] + j
        if len(index) != self.ndim or any(isinstance(place, slice) for place in index):
            self.machine.fail(
                f"indexes {self.kind} {self.name} of {self.ndim} dimensions with {index}; give one number for each dimension "
                "(slices and rows are not simulated)"
            )
        number = 0
        for place, extent in zip(index, self.shape, strict=True):
            try:
                place = whole_number(place)
            except TypeError:
                self.machine.fail(
                    f"indexes {self.kind} {self.name} with {place!r}; an index is a whole number (use // to divide)"
                )
            if not 0 <= place < extent:
                shown = index[0] if len(index) == 1 else tuple(map(int, index))
                why = "; a negative index wraps around in Numba" if place < 0 else ""
                self.machine.fail(f"index {shown} is outside {self.kind} {self.name} of shape {self.shape}{why}")
            number = number * extent + place
        return number

    def shown(self, number: int) -> str:
        place = np.unravel_index(number, self.shape)
        return f"{self.name}[{', '.join(map(str, place))}]"

    def unwritten(self, number: int) -> NoReturn:
        self.machine.fail(f"reads {self.kind} {self.shown(number)}, which nothing has written")


class Watched(Indexed):
    """What global and shared arrays have in common: every access is noted, and compared with those before."""

    def __init__(self, machine: "Machine", name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.machine, self.name, self.shape, self.dtype = machine, name, shape, dtype
        self.size, self.ndim = prod(shape), len(shape)
        self.itemsize = dtype.itemsize
        self.scalar, self.convert = converter(dtype, machine.double, machine)
        self.writer: list[Moment | None] = [None] * self.size
        self.reader: list[Moment | None] = [None] * self.size
        self.other_reader: list[Moment | None] = [None] * self.size

    def __len__(self) -> int:
        return self.shape[0]

    def was_written(self, number: int, here: Moment) -> None:
        writer = self.writer[number]
        if writer is not here:
            if writer is not None and here.races_with(writer):
                self.race(number, "writes", writer, "wrote")
            self.writer[number] = here
        reader = self.reader[number]
        if reader is None:
            return
        if reader is not here and here.races_with(reader):
            self.race(number, "writes", reader, "read")
        reader = self.other_reader[number]
        if reader is not None and here.races_with(reader):
            self.race(number, "writes", reader, "read")

    def race(self, number: int, does: str, other: Moment, did: str) -> NoReturn:
        here = self.machine.here
        if here.block is other.block:
            who, cure = f"thread {other.thread.place}", "no barrier lies between: a cuda.syncthreads() is missing"
        else:
            who = f"thread {other.thread.place} of block {other.block.place}"
            cure = "blocks run in any order: give each element one writer, or use cuda.atomic"
        self.machine.awaited = None
        self.machine.fail(f"data race: {does} {self.kind} {self.shown(number)}, which {who} {did}; {cure}")

    def change(self, index: Any, new: Callable[[Any], Any]) -> Any:
        """One atomic read, computation and write; returns the old value."""
        machine, number = self.machine, self.number(index)
        here = machine.here
        machine.here = machine.thread.atomic_moment()
        try:
            self.was_written(number, machine.here)
        finally:
            machine.here = here
        old = self.value(number)
        self.put(number, self.convert(new(old)))
        machine.thread.counts[ATOMICS] += 1
        return old

    def value(self, number: int) -> Any:
        raise NotImplementedError

    def put(self, number: int, value: Any) -> None:
        raise NotImplementedError


class GlobalArray(Watched):
    """An argument of the launch. `written`: for memory from `empty`, which bytes have been written (elements, itemsize)."""

    kind = "global array"

    def __init__(self, machine: "Machine", name: str, array: np.ndarray, written: np.ndarray | None = None) -> None:
        super().__init__(machine, name, array.shape, array.dtype)
        self.array, self.written = array, written
        flat: Any = array.reshape(-1) if array.flags.c_contiguous else array.flat
        self.flat = flat
        whole = array.dtype.kind in "iub" and array.flags.c_contiguous
        self.take = self.flat.item if whole else self.flat.__getitem__

    def value(self, number: int) -> Any:
        if self.written is not None and not self.written[number, 0]:
            self.unwritten(number)
        return self.take(number)

    def put(self, number: int, value: Any) -> None:
        if not self.array.flags.writeable:
            self.machine.fail(f"writes {self.kind} {self.name}, which is read-only")
        if self.written is not None:
            self.written[number] = 1
        self.flat[number] = value

    def __getitem__(self, index: Any) -> Any:
        number = index if type(index) is int and self.ndim == 1 and 0 <= index < self.size else self.number(index)
        machine = self.machine
        here = machine.here
        reader = self.reader[number]
        if reader is not here:
            self.reader[number] = here
            if reader is not None and reader.thread is not here.thread:
                self.other_reader[number] = reader
        writer = self.writer[number]
        if writer is not None and writer is not here and here.races_with(writer):
            self.race(number, "reads", writer, "wrote")
        counts = machine.thread.counts
        counts[GLOBAL_READS] += 1
        counts[GLOBAL_READS + 1] += self.itemsize
        if self.written is not None and not self.written[number, 0]:
            self.unwritten(number)
        return self.take(number)

    def __setitem__(self, index: Any, value: Any) -> None:
        number = index if type(index) is int and self.ndim == 1 and 0 <= index < self.size else self.number(index)
        if type(value) is not self.scalar:
            value = self.convert(value)
        machine = self.machine
        self.was_written(number, machine.here)
        counts = machine.thread.counts
        counts[GLOBAL_WRITES] += 1
        counts[GLOBAL_WRITES + 1] += self.itemsize
        self.put(number, value)


class SharedArray(Watched):
    """Shared memory starts unwritten. Values are kept as Python objects: faster than an array, one element at a time."""

    kind = "shared array"

    def __init__(self, machine: "Machine", name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(machine, name, shape, dtype)
        self.values: list[Any] = [None] * self.size
        self.places = places(shape)

    def value(self, number: int) -> Any:
        value = self.values[number]
        return self.too_early(number) if value is None else value

    def put(self, number: int, value: Any) -> None:
        self.values[number] = value

    def __getitem__(self, index: Any) -> Any:
        try:
            number = self.places[index]
        except (KeyError, TypeError):
            number = self.number(index)
        machine = self.machine
        here = machine.here
        reader = self.reader[number]
        if reader is not here:
            self.reader[number] = here
            if reader is not None and reader.thread is not here.thread:
                self.other_reader[number] = reader
        writer = self.writer[number]
        if writer is not None and writer.interval == here.interval and here.races_with(writer):
            self.race(number, "reads", writer, "wrote")
        counts = machine.thread.counts
        counts[SHARED_READS] += 1
        counts[SHARED_READS + 1] += self.itemsize
        value = self.values[number]
        return self.too_early(number) if value is None else value

    def too_early(self, number: int) -> Any:
        """A read of what nothing has written yet. If another thread writes it before the next barrier, that is a race, and
        worth more to the reader than this: so the error waits until then, and the kernel goes on with what is no number."""
        self.machine.fail_at_barrier(f"reads {self.kind} {self.shown(number)}, which nothing has written")
        return self.convert(0) if self.dtype.kind in "iub" else self.dtype.type(np.nan)

    def __setitem__(self, index: Any, value: Any) -> None:
        try:
            number = self.places[index]
        except (KeyError, TypeError):
            number = self.number(index)
        if type(value) is not self.scalar:
            value = self.convert(value)
        machine = self.machine
        self.was_written(number, machine.here)
        counts = machine.thread.counts
        counts[SHARED_WRITES] += 1
        counts[SHARED_WRITES + 1] += self.itemsize
        self.values[number] = value


class LocalArray(Indexed, dict):
    """A thread's own array: index -> value of what it has written, so that reading costs no more than a dictionary."""

    kind = "local array"

    def __init__(self, machine: "Machine", name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.machine, self.name, self.shape, self.dtype = machine, name, shape, dtype
        self.ndim, self.size = len(shape), prod(shape)
        self.scalar, self.convert = converter(dtype, machine.double, machine)
        self.places = places(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __missing__(self, index: Any) -> NoReturn:
        if index in self.places:
            self.unwritten(self.places[index])
        self.number(index)
        raise AssertionError("an index outside the array has failed before")

    def __setitem__(self, index: Any, value: Any) -> None:
        if index not in self.places:
            self.__missing__(index)
        if type(value) is not self.scalar:
            value = self.convert(value)
        dict.__setitem__(self, index, value)


def name_on_line(file: str, line: int) -> str:
    """What the array made on this source line is called, for errors."""
    found = re.match(r"\s*(\w+)\s*=", linecache.getline(file, line))
    return found.group(1) if found else f"of line {line}"


def as_shape(shape: int | Iterable[int]) -> tuple[int, ...]:
    return (whole_number(shape),) if not isinstance(shape, Iterable) else tuple(map(whole_number, shape))
