"""Where kernels run: a GPU through numba.cuda with CuPy's arrays, or the CPU through the simulator with NumPy's.

    device.empty((2, 3, 5))                                a new array, of the device's array library
    device.launch(kernel, grid, threads, x, y, 7, 0.5)     Python's int and float arrive as int32 and float32
    device.elementwise(kernel, count, x, y)                at least one thread for each of `count` numbers

A kernel is a plain function. Each device makes its own of it: numba.cuda compiles, the simulator wraps.
"""

from collections.abc import Callable
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np

from kernels.backends import Array, BackendUnavailable
from kernels.numba_cuda.language import Cuda, DeviceFunction
from kernels.numba_cuda.tiles import GPU_TILES, SIMULATOR_TILES, Tile

MOST_TABLES = 256
REGISTERS = {256: 128, 128: 168}  # of a thread, by block size: two blocks, or three, share a multiprocessor's 65536


class Device:
    """What both kinds share. `tiles`: to choose from; `row_threads`: how many threads share a sum; `block`: for elementwise."""

    arrays: ModuleType
    tiles: tuple[Tile, ...]
    row_threads: int
    block: int

    def __init__(self) -> None:
        self._kernels: dict[Callable, Any] = {}
        self._tables: dict[tuple, Array] = {}

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        raise NotImplementedError

    def made_ready(self, kernel: Callable, threads: int) -> Any:
        """What can be launched: `made_ready(kernel, threads)[grid, threads](...)`."""
        raise NotImplementedError

    def prepared(self, arguments: tuple) -> Any:
        return tuple(number_of_32_bits(argument) for argument in arguments)

    def launch(self, kernel: Callable, grid: Any, threads: int, *arguments: Any) -> None:
        if kernel not in self._kernels:
            self._kernels[kernel] = self.made_ready(kernel, threads)
        self.started(self._kernels[kernel], grid, threads)(*self.prepared(arguments))

    def started(self, ready: Any, grid: Any, threads: int) -> Callable[..., None]:
        return ready[grid, threads]

    def elementwise(self, kernel: Callable, count: int, *arguments: Any) -> None:
        if count:
            self.launch(kernel, -(-count // self.block), self.block, *arguments)

    def place(self) -> int:
        """Which of several GPUs is in use: tables live on one."""
        return 0

    def table(self, key: tuple, build: Callable[[], np.ndarray]) -> Array:
        """A small array that depends on `key` only, made by `build()` on the host and kept on the device."""
        key = (self.place(), *key)
        if key not in self._tables:
            if len(self._tables) == MOST_TABLES:
                del self._tables[next(iter(self._tables))]  # the oldest
            self._tables[key] = self.arrays.asarray(build())
        return self._tables[key]


class Gpu(Device):
    """The current CUDA device. Raises BackendUnavailable where there is none, ImportError where numba.cuda cannot use it."""

    tiles = GPU_TILES
    row_threads = block = 256

    def __init__(self) -> None:
        super().__init__()
        import cupy

        from kernels.cuda.device import why_no_gpu
        from kernels.numba_cuda.loader import load, why_unusable

        reason = why_no_gpu(cupy)
        if reason:
            raise BackendUnavailable("numba-cuda", reason)
        self.arrays, self.cuda = cupy, load()
        reason = why_unusable(self.cuda)
        if reason:
            raise ImportError(reason)

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        from kernels.cuda.device import memory_for

        with memory_for(self.arrays, shape, dtype):
            return self.arrays.empty(shape, dtype)

    def made_ready(self, kernel: Callable, threads: int) -> Any:
        return self.cuda.jit(bound(kernel, self.cuda), max_registers=REGISTERS[threads])

    def prepared(self, arguments: tuple) -> Any:
        """Arrays go over without waiting for their stream: CuPy and the launch use the same one."""
        return tuple(
            self.cuda.as_cuda_array(argument, sync=False) if isinstance(argument, self.arrays.ndarray) else argument
            for argument in super().prepared(arguments)
        )

    def started(self, ready: Any, grid: Any, threads: int) -> Callable[..., None]:
        stream = self.arrays.cuda.get_current_stream().ptr
        return ready[grid, threads, self.cuda.external_stream(stream) if stream else 0]

    def place(self) -> int:
        return self.arrays.cuda.runtime.getDevice()


class Emulated(Device):
    """The CPU, one thread of the kernel after another; every access is checked."""

    tiles = SIMULATOR_TILES
    row_threads, block = 8, 32

    def __init__(self) -> None:
        super().__init__()
        from kernels.emulator import simulator

        self.arrays, self.simulator = np, simulator

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        return self.simulator.empty(shape, dtype)

    def made_ready(self, kernel: Callable, threads: int) -> Any:
        return self.simulator.jit(kernel)


def number_of_32_bits(argument: Any) -> Any:
    if isinstance(argument, int):
        return np.int32(argument)
    return np.float32(argument) if isinstance(argument, float) else argument


def bound(function: Callable, cuda: Any, made: dict | None = None) -> Any:
    """The function as if `cuda` had been its numba.cuda all along, with the device functions it calls compiled for that."""
    made = {} if made is None else made

    def exchanged(value: Any) -> Any:
        if isinstance(value, Cuda):
            return cuda
        if isinstance(value, DeviceFunction):
            if value not in made:
                made[value] = cuda.jit(device=True)(bound(value.py_func, cuda, made))
            return made[value]
        return value

    assert isinstance(function, FunctionType)
    used = function.__code__.co_names
    names = {name: exchanged(value) for name, value in function.__globals__.items() if name in used}
    cells = tuple(CellType(exchanged(cell.cell_contents)) for cell in function.__closure__ or ())
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
