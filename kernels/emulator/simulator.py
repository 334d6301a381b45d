"""Runs kernels written in Numba CUDA on the CPU, without a GPU and without numba.cuda: a place to debug them.

    from numba import float32
    from kernels.emulator import simulator as cuda       # instead of: from numba import cuda

    @cuda.jit
    def double(x, y):
        i = cuda.grid(1)
        if i < x.size:
            y[i] = float32(2) * x[i]

    double[4, 64](x, y)                                  # x, y: NumPy arrays
    double.counts                                        # global and shared reads and writes of this launch

`KernelError` names kernel, block, thread and line when threads of a block wait at different barriers, lanes of a warp at
different operations, an index is outside its array (or negative: Numba would wrap it around), memory is read that nothing has
written, two threads access one element with no barrier between, or a float64 is stored where memory is float32.

MINIZF_EMULATOR=fast leaves all that out and counts nothing; `jit(checked=...)` decides for one kernel.
There is no limit of time: a loop without end goes on until Ctrl-C, whose traceback names its line.
Needs greenlet. What Numba types would do is simulated for the types of memory; local integers are Python's, without overflow.
An integer with a float32 makes a float64 in Numba (`total = 0`, `x[i] / 3`), and a float32 here: convert it, `float32(3)`.
"""

import inspect
import math
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

try:
    import greenlet  # noqa: F401
except ImportError as error:
    raise ImportError("the simulator of Numba CUDA kernels needs greenlet; pip install greenlet") from error

from kernels.emulator.binary import COUNTS, ORDERS
from kernels.emulator.memory import empty, unwritten_at
from kernels.emulator.module import MOST_THREADS, checked_by_default, three_sizes
from kernels.emulator.report import KernelError
from kernels.emulator.simulator_double import double_literal
from kernels.emulator.simulator_machine import WARP, Dim3, Machine, kernel_frame, places_of
from kernels.emulator.simulator_memory import GlobalArray
from kernels.emulator.traffic import Traffic

__all__ = ["Kernel", "KernelError", "empty", "jit"]

MOST_BLOCKS = (2**31 - 1, 65535, 65535)
NUMBA_NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
WAITS = {"syncthreads", "syncthreads_count", "syncthreads_and", "syncthreads_or", "syncwarp"}


def jit(
    function: Any = None, *, device: bool = False, checked: bool | None = None, double: bool = False, **options: Any
) -> Any:
    """Makes a kernel of a plain function, or of what `numba.cuda.jit` made of one. Use it as decorator or call it.

    `device=True`: a function that kernels call. `checked`: None lets MINIZF_EMULATOR decide. `double=True`: float64 is meant.
    Options that only a compiler understands (fastmath, max_registers, ...) are accepted and ignored.
    """
    if function is None or not callable(getattr(function, "py_func", function)):  # a Numba signature comes first, or nothing
        return lambda actual: jit(actual, device=device, checked=checked, double=double)
    plain = getattr(function, "py_func", function)
    return DeviceFunction(plain) if device else Kernel(plain, checked, double)


class DeviceFunction:
    """A function for kernels to call; outside a kernel it cannot run."""

    def __init__(self, function: FunctionType) -> None:
        self.py_func = function

    def __call__(self, *arguments: Any) -> Any:
        raise RuntimeError(f"{self.py_func.__name__} is a device function: only kernels can call it")


class Kernel:
    """kernel[grid, block](...) or kernel[grid, block, stream, shared_bytes](...), as in Numba.

    `order`: "forward", "reverse" or "shuffled": in which order threads and blocks run; no correct kernel cares.
    """

    def __init__(self, function: FunctionType, checked: bool | None = None, double: bool = False) -> None:
        self.py_func, self.double, self.order = function, double, "forward"
        self.checked = checked_by_default() if checked is None else checked
        self.counts: Traffic | None = None
        self.cooperative = waits(function)

    def __getitem__(self, configuration: Any) -> Callable[..., None]:
        if not isinstance(configuration, tuple) or not 2 <= len(configuration) <= 4:
            raise TypeError(f"{self.py_func.__name__}[{configuration}]: give {self.py_func.__name__}[grid, block]")
        grid, block, *more = configuration
        shared_bytes = int(more[1]) if len(more) > 1 else 0
        return lambda *arguments: self.launch(grid, block, arguments, shared_bytes)

    def __call__(self, *arguments: Any) -> None:
        raise TypeError(f"say how many threads: {self.py_func.__name__}[grid, block](...), each one to three whole numbers")

    def launch(self, grid: Any, block: Any, arguments: tuple, shared_bytes: int = 0) -> None:
        blocks, threads = Dim3(*three_sizes("grid", grid)), Dim3(*three_sizes("block", block))
        self.check_sizes(blocks, threads)
        self.check_arguments(arguments)
        if self.order not in ORDERS:
            raise ValueError(f"{self.py_func.__name__}: order={self.order!r}: allowed are {', '.join(ORDERS)}")
        machine = Machine(self.py_func.__name__, blocks, threads, shared_bytes, self.checked, self.double, self.order)
        machine.file = self.py_func.__code__.co_filename
        doubles = any(isinstance(value, np.ndarray) and value.dtype == np.float64 for value in arguments)
        machine.double = self.double or doubles
        if self.checked and not machine.double:
            self.check_literals()
        seen: dict[Any, Any] = {}
        names = self.py_func.__code__.co_varnames
        inside = tuple(argument(machine, name, value, seen) for name, value in zip(names, arguments, strict=False))
        with np.errstate(all="ignore"):
            self.run(machine, bind(self.py_func, machine, {}), inside)
        self.counts = traffic(machine) if self.checked else None

    def run(self, machine: Machine, function: Callable, arguments: tuple) -> None:
        try:
            machine.run(function, arguments, self.cooperative)
        except KernelError:
            raise
        except Exception as error:
            machine.raise_awaited()
            trace = error.__traceback__
            frames = []
            while trace is not None:
                frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno, trace.tb_frame))
                trace = trace.tb_next
            file, line, _ = next((at for at in reversed(frames) if kernel_frame(at[2]) is at[2]), frames[-1])
            raise KernelError(
                self.py_func.__name__,
                machine.thread.block.place,
                machine.thread.place,
                f"{type(error).__name__}: {error}",
                file,
                line,
            ) from error

    def check_sizes(self, grid: Dim3, block: Dim3) -> None:
        threads = block.x * block.y * block.z
        if min(*grid, *block) < 1:
            raise ValueError(
                f"{self.py_func.__name__}: grid {tuple(grid)}, block {tuple(block)}; every size must be at least 1"
            )
        if threads > MOST_THREADS or block.z > 64:
            raise ValueError(
                f"{self.py_func.__name__}: block {tuple(block)} has {threads} threads; a GPU takes {MOST_THREADS}, 64 along z"
            )
        if any(size > most for size, most in zip(grid, MOST_BLOCKS, strict=True)):
            raise ValueError(f"{self.py_func.__name__}: grid {tuple(grid)} is too large; a GPU takes {MOST_BLOCKS}")

    def check_arguments(self, arguments: tuple) -> None:
        try:
            inspect.signature(self.py_func).bind(*arguments)
        except TypeError as error:
            raise TypeError(
                f"{self.py_func.__name__}{inspect.signature(self.py_func)}: {error}; number of arguments: {len(arguments)}"
            ) from None

    def check_literals(self) -> None:
        found = double_literal(self.py_func)
        if found:
            what, file, line = found
            raise KernelError(self.py_func.__name__, (0, 0, 0), (0, 0, 0), what, file, line)


def written_part(array: np.ndarray) -> np.ndarray | None:
    """Which bytes of an array in memory from `empty` have been written, (elements, itemsize); None: all."""
    begin = array.ctypes.data
    record = unwritten_at(begin, begin + array.nbytes) if array.flags.c_contiguous else None
    if record is None:
        return None
    record.notice_host_writes()
    if record.all_written:
        return None
    start = begin - record.begin
    return record.written[start : start + array.nbytes].reshape(array.size, array.itemsize)


def traffic(machine: Machine) -> Traffic:
    """What the launch moved, counted by its arrays."""
    counts = np.array([machine.counts[place] for place in places_of(machine.gridDim)], np.uint32)  # (blocks, threads, 9)
    per_thread = counts.view(COUNTS)[..., 0]
    totals = {name: int(per_thread[name].sum(dtype=np.int64)) for name in COUNTS.names}
    return Traffic(**totals, per_thread=per_thread)


def argument(machine: Machine, name: str, value: Any, seen: dict) -> Any:
    """What a kernel gets for an argument: arrays behind checks, integers as Python's, floats of their own width."""
    if isinstance(value, np.ndarray) and value.ndim:
        if not machine.checked:
            return value
        key = (value.ctypes.data, value.shape, value.dtype, value.strides)
        if key not in seen:
            seen[key] = GlobalArray(machine, name, value, written_part(value))
        return seen[key]
    if isinstance(value, np.ndarray):
        value = value[()]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if type(value) is float:
        return np.float64(value)  # as Numba takes it
    return value


def waits(function: FunctionType, seen: set[CodeType] | None = None) -> bool:
    """Whether threads of this kernel, or of a function it calls, may wait for each other."""
    seen = set() if seen is None else seen
    if function.__code__ in seen:
        return False
    seen.add(function.__code__)
    if any(name in WAITS or name.endswith("_sync") for name in function.__code__.co_names):
        return True
    return any(waits(called, seen) for called in called_functions(function))


def called_functions(function: FunctionType) -> list[FunctionType]:
    values = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    values += [cell.cell_contents for cell in function.__closure__ or ()]
    plain = (getattr(value, "py_func", value) for value in values)
    return [value for value in plain if isinstance(value, FunctionType)]


def bind(function: FunctionType, machine: Machine, bound: dict) -> FunctionType:
    """The function with `cuda`, `math`, Numba's number types and the functions it calls exchanged for simulated ones."""
    if function in bound:
        return bound[function]
    names = {
        name: replaced(value, machine, bound)
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names
    }
    cells = tuple(CellType() for _ in function.__closure__ or ())
    made = FunctionType(
        function.__code__, {"__builtins__": __builtins__, **names}, function.__name__, function.__defaults__, cells
    )
    bound[function] = made
    for cell, old in zip(cells, function.__closure__ or (), strict=True):
        cell.cell_contents = replaced(old.cell_contents, machine, bound)
    return made


def replaced(value: Any, machine: Machine, bound: dict) -> Any:
    if value is sys.modules[__name__] or getattr(value, "simulated_as_cuda", False):
        return machine
    if isinstance(value, ModuleType):
        return machine if value.__name__ in ("numba.cuda", "numba_cuda") else SIMULATED_MATH if value is math else value
    plain = getattr(value, "py_func", value)
    if isinstance(plain, FunctionType):
        return bind(plain, machine, bound)
    name = getattr(value, "name", None)
    if name in NUMBA_NUMBERS and type(value).__module__.startswith("numba"):
        return Number(name)
    return value


class Number:
    """Numba's `float32`, `int32` ...: as a type of memory, and called, as a conversion like C's."""

    def __init__(self, name: str) -> None:
        self.name, self.dtype = name, np.dtype(name)
        self.scalar = self.dtype.type
        self.bits = 8 * self.dtype.itemsize

    def __call__(self, value: Any) -> Any:
        if type(value) is self.scalar:
            return value
        if self.dtype.kind == "f":
            return self.scalar(value)
        number = int(value)
        if self.dtype.kind == "u":
            return number & ((1 << self.bits) - 1)
        if not -(1 << self.bits - 1) <= number < 1 << self.bits - 1:
            raise OverflowError(f"{number} does not fit into {self.name}")
        return number


NUMPY_NAMES = {"pow": "power", "fabs": "abs", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2"}


class Math:
    """`math` as compiled: float32 in, float32 out; Python's own would compute in double."""

    def __getattr__(self, name: str) -> Any:
        of_math = getattr(math, name)
        if not isinstance(of_math, BuiltinFunctionType):
            return of_math
        of_numpy = getattr(np, NUMPY_NAMES.get(name, name), None)

        def function(*values: Any) -> Any:
            if name in ("isnan", "isinf", "isfinite", "floor", "ceil", "trunc"):
                return of_math(*values)
            single = all(type(value) is np.float32 for value in values)
            if of_numpy is None:
                return np.float32(of_math(*values)) if single else of_math(*values)
            return of_numpy(*values) if single else float(of_numpy(*map(float, values)))

        setattr(self, name, function)
        return function


SIMULATED_MATH = Math()


def __getattr__(name: str) -> Any:
    if name == "warpsize":
        return WARP
    if hasattr(Machine, name) or name in (
        "threadIdx",
        "blockIdx",
        "blockDim",
        "gridDim",
        "laneid",
        "shared",
        "local",
        "const",
        "atomic",
    ):
        raise AttributeError(f"cuda.{name} exists only inside a kernel: decorate the function with @cuda.jit and launch it")
    raise AttributeError(f"the simulator has no {name!r}")
